"""Write every hash-locked requirements file from pyproject.toml (`make lock`; needs uv and an index).

One resolution (requirements/all.txt) is the truth; the other files are cuts of it, so that the local environment and
all images hold the same versions.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--universal", "--fork-strategy", "fewest", "--python-version", "3.11"]
FLAGS += ["--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate"]
# annoy has no wheel and needs a C++ compiler, which no image has; Scanorama needs it for approximate neighbors alone,
# and ours (models/scanorama) searches exactly.
FLAGS += ["--no-emit-package", "annoy"]
# What torch's own index serves: cut off, so that a CPU build can take its place (TORCH_INDEX).
TORCH_GROUP = re.compile(r"^(torch|triton|nvidia-.*|cuda-.*)$")
BASE_EXTRAS = ["torch", "sklearn", "data"]
IMAGES = {
    "containers/models/celltypist": "celltypist",
    "containers/models/harmony": "harmony",
    "containers/models/scanorama": "scanorama",
    "containers/models/scvi": "scvi",  # of scanvi too
    "containers/tasks/batch_integration": "scib",
}


def compile_lock(source: str, extras: list[str], constraint: Path | None, stdin: str | None = None) -> dict[str, str]:
    """Return package name to its block (pin, marker and hashes) as uv resolves it."""
    command = ["uv", "pip", "compile", "--quiet", source, *FLAGS]
    for extra in extras:
        command += ["--extra", extra]
    if constraint is not None:
        command += ["--constraint", str(constraint)]
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    blocks = re.split(r"^(?=[A-Za-z0-9])", done.stdout, flags=re.MULTILINE)
    return {re.split(r"[=\s]", block, maxsplit=1)[0]: block for block in blocks if block.strip()}


def write(path: str, blocks: dict[str, str], comment: str) -> None:
    """Write one lock file, whole or not at all."""
    target = ROOT / path
    part = target.with_suffix(".part")
    part.write_text(
        f"# {comment} Made by `make lock`; do not edit.\n" + "".join(blocks[name] for name in sorted(blocks))
    )
    part.replace(target)
    print(f"{path}: {len(blocks)} packages")


def main() -> None:
    """Resolve once, then cut."""
    everything = compile_lock("pyproject.toml", ["all"], None)
    write("requirements/all.txt", everything, "Everything, for the local environment.")
    truth = ROOT / "requirements/all.txt"
    base = compile_lock("pyproject.toml", BASE_EXTRAS, truth)
    torch = {name: block for name, block in base.items() if TORCH_GROUP.match(name)}
    write("requirements/torch.txt", torch, "torch and what only torch needs, for the base image.")
    write("requirements/base.txt", {n: b for n, b in base.items() if n not in torch}, "The base image without torch.")
    for folder, extra in IMAGES.items():
        own = compile_lock("pyproject.toml", [extra], truth)
        write(
            f"{folder}/requirements.txt",
            {n: b for n, b in own.items() if n not in base},
            "What this image adds to the base.",
        )
    # setuptools and wheel: docrep and fbpca have no wheel; they are plain Python.
    build = compile_lock("-", [], truth, stdin="hatchling==1.27.0\neditables\nsetuptools\nwheel\n")
    write("requirements/build.txt", build, "What builds this package and those packages that have no wheel.")


if __name__ == "__main__":
    main()
