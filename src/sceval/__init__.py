"""sceval: which single-cell model is useful for what."""

__version__ = "0.1.0"
