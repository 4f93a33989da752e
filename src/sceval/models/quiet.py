"""Keeps chatty packages quiet: standard output stays empty, standard error is for sentences that a person needs."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Run a block without warnings and log lines; what it prints goes to standard error.

    Only for blocks whose trouble is found out otherwise: by an exception, or by a check of the result.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # levels of single loggers do not last: packages set their own when imported
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
