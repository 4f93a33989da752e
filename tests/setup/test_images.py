"""Every image: the program under its common name, as any user id, without network, with read-only weights."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
MODELS = sorted(path.parent.name for path in ROOT.glob("containers/models/*/Dockerfile"))
TASKS = sorted(path.parent.name for path in ROOT.glob("containers/tasks/*/Dockerfile"))


def run(*command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def images() -> None:
    """All images up to date; without a daemon there is nothing to ask."""
    if run("bash", str(ROOT / "setup/docker.sh"), "status").returncode:
        pytest.skip("no Docker daemon answers (setup/docker.sh start)")
    done = run("bash", str(ROOT / "setup/images.sh"), timeout=900)
    assert done.returncode == 0, done.stderr


def inside(name: str, script: str, weights: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in an image as a user id that no image knows, with nothing but /tmp to write to."""
    weights.chmod(0o755)
    return run(
        *("docker", "run", "--rm", "--network", "none", "--user", "12345:12345", "--read-only", "--tmpfs", "/tmp"),
        *("--volume", f"{weights}:/weights:ro", f"sceval/{name}:{VERSION}", "bash", "-c", script),
    )


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("name", MODELS)
def test_model_image_tells_about_itself(name: str, tmp_path: Path) -> None:
    tools = "for tool in bash ps awk setsid flock; do command -v $tool > /dev/null || exit 7; done"
    done = inside(
        name, f"{tools}; test -r /weights && ! touch /weights/x 2> /dev/null || exit 8; sceval-model info", tmp_path
    )
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert info["name"]
    assert info["verbs"]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("name", TASKS)
def test_task_image_has_the_task_program(name: str, tmp_path: Path) -> None:
    done = inside(name, "sceval-task --help", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "prepare" in done.stdout
    assert "score" in done.stdout


@pytest.mark.usefixtures("images")
def test_torch_lies_in_one_layer_that_all_images_share() -> None:
    layers = {}
    for name in ("base", "core", *MODELS, *TASKS):
        done = run("docker", "image", "inspect", "-f", "{{json .RootFS.Layers}}", f"sceval/{name}:{VERSION}")
        layers[name] = json.loads(done.stdout)
    base = layers.pop("base")
    assert all(own[: len(base)] == base for own in layers.values())


@pytest.mark.usefixtures("images")
def test_lisi_helper_of_scib_starts_in_the_task_image(tmp_path: Path) -> None:
    find = "python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))'"
    done = inside("batch_integration", f'"$({find})/scib/knn_graph/knn_graph.o"', tmp_path)
    assert "usage" in done.stdout + done.stderr
