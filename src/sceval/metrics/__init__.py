"""Array-first metrics: NumPy in, number out. Nothing in here knows AnnData, and nothing imports scikit-learn."""

from __future__ import annotations
