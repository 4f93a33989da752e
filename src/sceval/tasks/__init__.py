"""The tasks: how a dataset becomes view and solution, and how outputs are scored."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from sceval.contract.tasks import TASKS
from sceval.tasks.base import Scored, Task

IDS = tuple(TASKS)


def get(task_id: str) -> Task:
    """Return a task by its id; only its own module is imported.

    Raises
    ------
    KeyError
        If there is no such task.
    """
    if task_id not in IDS:
        msg = f"no task {task_id!r}; there are {', '.join(IDS)}"
        raise KeyError(msg)
    return import_module(f"sceval.tasks.{task_id}").TASK


def prepare_part(task_id: str) -> str:
    """Return the file that cuts a task's views, below the package: what decides whether they are cut again."""
    package = Path(__file__).parent / task_id
    return f"tasks/{task_id}/prepare.py" if package.is_dir() else f"tasks/{task_id}.py"


__all__ = ["IDS", "Scored", "Task", "get", "prepare_part"]
