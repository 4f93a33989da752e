"""Where the public fixture of metric values lies, and its embeddings."""

from __future__ import annotations

from pathlib import Path

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity" / "metrics"
CASES = ("separated", "overlapping", "isolated", "pbmc68k_planted")
