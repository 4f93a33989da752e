"""Write docs/metrics.md: ``python -m sceval.metrics.document docs/metrics.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from sceval.metrics.registry import document

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
