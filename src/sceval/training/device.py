"""Which device a run computes on, and in which number format."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str = "auto") -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a torch device.

    Raises
    ------
    ValueError
        The name is none of the three.
    RuntimeError
        ``cuda`` was asked for and torch sees no CUDA device; there is no silent fallback to the CPU.
    """
    import torch

    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}; choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device 'cuda' was asked for, but torch sees no CUDA device; use --device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(device: torch.device, enabled: bool = True) -> AbstractContextManager:
    """Mixed precision in bfloat16, on CUDA only: on a CPU it is slower and loses digits for nothing."""
    import torch

    if not enabled or device.type != "cuda":
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)
