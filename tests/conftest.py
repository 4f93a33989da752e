"""Fixtures for all tests; `from helpers import make_view` works too."""

from __future__ import annotations

import pytest

from helpers import make_view as _make_view


@pytest.fixture(scope="session")
def make_view():
    """Return the function that makes a small valid view: `make_view(n, g, batches, types, seed, task=...)`."""
    return _make_view
