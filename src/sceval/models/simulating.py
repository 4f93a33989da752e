"""What the views of simulation ask for, for the verb `simulate`."""

from __future__ import annotations

import numpy as np

from sceval.models.request import NotApplicable, Request


def asked(request: Request) -> tuple[np.ndarray, np.ndarray | None]:
    """Return type and, where there are any, batch of each cell that the view asks for.

    Raises
    ------
    NotApplicable
        If it asks for none.
    """
    told = request.view.uns.get("simulation")
    if not told or "cell_type" not in request.view.obs:
        msg = "simulation needs the labels of the cells (obs `cell_type`) and the groups wanted (uns `simulation`)"
        raise NotApplicable(msg)
    sizes = np.atleast_1d(told["n"]).astype(int)
    types = np.repeat(np.atleast_1d(told["cell_type"]).astype(object), sizes)
    return types, np.repeat(np.atleast_1d(told["batch"]).astype(object), sizes) if "batch" in told else None
