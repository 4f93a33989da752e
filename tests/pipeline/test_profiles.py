"""The resolved configuration of every profile, as `nextflow config` gives it (nothing runs, no plugin is needed)."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = f"{ROOT / '.tools/bin'}:{os.environ['PATH']}"
CONTAINERS = ("docker", "podman", "singularity", "apptainer")
CLOUD = ("awsbatch", "k8s")
ALL = (*CONTAINERS, *CLOUD, "venv", "slurm", "gpu", "test", "demo")
GPU_OPTION = {
    "docker": "--network none --gpus all",
    "podman": "--network none --device nvidia.com/gpu=all",
    "singularity": "--nv",
    "apptainer": "--nv",
}
NO_NETWORK = {"docker": "--network none", "podman": "--network none"}


@functools.cache
def resolve(profile: str) -> dict:
    """Return the configuration of a profile (or several, with commas)."""
    done = subprocess.run(
        ["nextflow", "config", str(ROOT), "-profile", profile, "-o", "json"],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def selected(config: dict, key: str, process: str) -> object:
    """Return what a directive resolves to for a process: the last selector that names it, else the general setting."""
    value = config["process"].get(key)
    for name, block in config["process"].items():
        if name.startswith("withName:") and process in name.removeprefix("withName:").split("|"):
            value = block.get(key, value)
    return value


@pytest.mark.parametrize("profile", ALL)
def test_failures_of_runs_never_end_the_pipeline(profile: str) -> None:
    config = resolve(profile)
    for process in ("INFO", "FETCH_WEIGHTS", "PREPARE", "RUN", "SCORE"):
        strategy = selected(config, "errorStrategy", process)
        assert strategy.endswith("task.attempt < 2 ? 'retry' : 'ignore' }")
        assert "137, 140, 143, 2147483647" in strategy
    for process in ("VALIDATE", "PLAN", "COLLECT", "REPORT"):
        assert selected(config, "errorStrategy", process).endswith("'terminate' }")
    assert selected(config, "maxRetries", "RUN") > 3
    assert config["resume"] is True


@pytest.mark.parametrize("profile", ALL)
def test_only_runs_that_ask_get_a_gpu(profile: str) -> None:
    config = resolve(profile)
    assert selected(config, "accelerator", "RUN") == "{ task.ext.gpu ? task.ext.gpu as int : null }"
    for process in ("VALIDATE", "PLAN", "PREPARE", "SCORE", "COLLECT", "REPORT"):
        assert selected(config, "accelerator", process) is None
        assert selected(config, "containerOptions", process) == NO_NETWORK.get(profile)
    options = selected(config, "containerOptions", "RUN")
    expected = GPU_OPTION.get(profile)
    otherwise = f"'{NO_NETWORK[profile]}'" if profile in NO_NETWORK else "null"
    assert options == (f"{{ task.ext.gpu ? '{expected}' : {otherwise} }}" if expected else None)


@pytest.mark.parametrize("profile", CONTAINERS)
def test_one_container_engine_is_enabled(profile: str) -> None:
    config = resolve(profile)
    assert [engine for engine in CONTAINERS if config.get(engine, {}).get("enabled")] == [profile]
    assert config["params"]["local_programs"] is False


def test_docker_runs_as_the_caller() -> None:
    config = resolve("docker")
    assert config["docker"]["runOptions"] == "-u $(id -u):$(id -g)"
    assert config["env"] == {"HOME": "/tmp", "USER": "sceval", "LOGNAME": "sceval"}


@pytest.mark.parametrize("profile", sorted(NO_NETWORK))
def test_only_what_fetches_weights_has_a_network(profile: str) -> None:
    config = resolve(profile)
    assert selected(config, "containerOptions", "FETCH_WEIGHTS") == ""
    assert selected(config, "containerOptions", "INFO") == "--network none"
    assert "--network" not in config[profile].get("runOptions", "")


def test_venv_puts_the_local_programs_first_on_the_path() -> None:
    config = resolve("venv")
    assert config["env"]["PATH"] == f"{ROOT}/.venv/bin:$PATH"
    assert config["params"]["local_programs"] is True
    assert not any(config.get(engine, {}).get("enabled") for engine in CONTAINERS)


@pytest.mark.parametrize("profile", ["docker", "venv", "test", "demo"])
def test_local_requests_are_capped_by_the_parameters(profile: str) -> None:
    config = resolve(profile)
    assert config["process"].get("executor", "local") == "local"
    params = config["params"]
    assert config["process"]["resourceLimits"] == {
        "cpus": params["max_cpus"],
        "memory": f"{params['max_memory_gb']} GB",
    }
    assert config["executor"]["$local"]["cpus"] == params["max_cpus"]


@pytest.mark.parametrize("profile", ["slurm", "slurm,apptainer", *CLOUD])
def test_remote_requests_are_not_capped_by_this_machine(profile: str) -> None:
    assert resolve(profile)["process"]["resourceLimits"] == {"cpus": 1024, "memory": "64 TB"}


def test_awsbatch_has_two_queues_and_an_s3_work_directory() -> None:
    config = resolve("awsbatch")
    assert config["process"]["executor"] == "awsbatch"
    assert config["process"]["queue"] == "{ task.accelerator ? params.aws_gpu_queue : params.aws_queue }"
    assert config["workDir"].startswith("s3://")
    assert "region" in config["aws"]
    assert {"aws_queue", "aws_gpu_queue", "aws_region", "aws_workdir"} <= set(config["params"])


def test_kubernetes_shares_a_claim() -> None:
    config = resolve("k8s")
    assert config["process"]["executor"] == "k8s"
    assert set(config["k8s"]) == {"namespace", "storageClaimName"}


def test_slurm_takes_a_container_profile_beside_it() -> None:
    config = resolve("slurm,apptainer")
    assert config["process"]["executor"] == "slurm"
    assert config["apptainer"]["enabled"] is True
    assert selected(config, "containerOptions", "RUN") == "{ task.ext.gpu ? '--nv' : null }"


def test_gpu_profile_asks_for_cuda() -> None:
    assert resolve("gpu")["params"]["device"] == "cuda"


@pytest.mark.parametrize("profile", ["test", "demo"])
def test_small_profiles_name_sheets_that_exist(profile: str) -> None:
    params = resolve(profile)["params"]
    assert Path(params["input"]).is_file()
    assert Path(params["models_sheet"]).is_file()


def test_slurm_chooses_partition_and_gpu_by_the_row(tmp_path: Path) -> None:
    """A stand-in sbatch shows what a job is submitted with: the GPU row alone gets a GPU, and memory is not capped."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f'#!/bin/bash\nf="${{@: -1}}"\n(grep "^#SBATCH" "$f" | tr "\\n" " "; echo) >> {tmp_path}/jobs\n'
        '(bash "$f" > /dev/null 2>&1 &)\necho "Submitted batch job $$"\n'
    )
    (tools / "squeue").write_text("#!/bin/bash\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / "main.nf").write_text(
        "process RUN {\n    ext gpu: { meta.gpu }\n    memory { meta.memory_mb * 1.MB }\n"
        "    input:\n    val meta\n    script:\n    'true'\n}\n"
        "workflow { RUN(channel.of([gpu: 0, memory_mb: 300000], [gpu: 2, memory_mb: 100])) }\n"
    )
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "nextflow.config").write_text(
        "params {\n    slurm_queue = ''\n    slurm_gpu_queue = 'gpus'\n    max_cpus = 2\n    max_memory_gb = 8\n}\n"
        "profiles {\n    slurm {\n        includeConfig 'conf/slurm.config'\n    }\n}\n"
        "includeConfig 'conf/base.config'\nincludeConfig 'conf/local.config'\nexecutor.$slurm.pollInterval = '1 sec'\n"
    )
    done = subprocess.run(
        ["nextflow", "run", ".", "-profile", "slurm"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tools}:{PATH}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plain, gpu = sorted((tmp_path / "jobs").read_text().splitlines(), key=lambda line: "--gres" in line)
    assert "--mem 300000M" in plain
    assert "--gres" not in plain
    assert " -p " not in plain
    assert "--gres=gpu:2" in gpu
    assert "-p gpus" in gpu
