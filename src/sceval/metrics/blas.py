"""One BLAS thread while we run two row blocks at once.

OpenBLAS starts all its threads for every small product and lets them spin. Beside our own two threads that cost 4 to 7
times the CPU time of the same result (kBET's eigenvectors most of all), so it is held to one thread here and set back
afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")


@cache
def _libraries() -> tuple[tuple, ...]:
    """The (get, set) functions of every OpenBLAS that NumPy and SciPy have loaded; none for another BLAS or system."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return ()
    lines = maps.read_text(errors="replace").splitlines()
    paths = sorted({line.split(maxsplit=5)[-1] for line in lines if "openblas" in line})
    found = []
    for path in paths:
        if not Path(path).is_file():
            continue
        library = ctypes.CDLL(path)
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                put = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if get is not None and put is not None:
                    found.append((get, put))
    return tuple(found)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold OpenBLAS to one thread inside the block; results do not depend on it, only the time."""
    # SciPy brings a second OpenBLAS, loaded with its linear algebra: load it before looking.
    import scipy.linalg  # noqa: F401

    libraries = _libraries()
    before = [get() for get, _ in libraries]
    for _, put in libraries:
        put(1)
    try:
        yield
    finally:
        for (_, put), count in zip(libraries, before, strict=True):
            put(count)
