"""Half of a clustering sweep in its own process: a graph on standard input, memberships on standard output."""

from __future__ import annotations

import io
import sys

import numpy as np
from scipy import sparse

from sceval.metrics.clustering import cluster_all


def main() -> None:
    """Read one npz (row, column, data, n, method, resolutions, seeds), write one npy."""
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as task:
        n = int(task["n"])
        upper = sparse.coo_matrix((task["data"], (task["row"], task["column"])), shape=(n, n))
        memberships = cluster_all(
            upper, str(task["method"]), tuple(task["resolutions"].tolist()), task["seeds"].tolist()
        )
    buffer = io.BytesIO()
    np.save(buffer, memberships)
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    main()
