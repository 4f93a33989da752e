"""The tasks: how a dataset becomes view and solution, and how outputs are scored."""

from __future__ import annotations

from importlib import import_module

from sceval.tasks.base import Scored, Task

IDS = ("batch_integration", "cell_type_annotation")


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


__all__ = ["IDS", "Scored", "Task", "get"]
