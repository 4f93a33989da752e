"""A small graph network after GEARS: genes joined by co-expression, a perturbation enters at its genes and spreads.

GEARS (Roohani et al. 2024) passes messages over a graph of gene ontology terms for perturbations and one of
co-expressed genes for expression, and reads the change of each gene from both. Here both are one co-expression graph,
the inputs are co-expression vectors, and it is trained on mean changes; the loss follows theirs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sceval.data.perturbations import Unit, gene_columns, parts_of
from sceval.models.request import NotApplicable, Request
from sceval.training.bilinear import per_gene_effect, whitened
from sceval.training.seed import derive_seed, seed_everything

GAMMA, DIRECTION = 2, 0.01
"""Power that the loss puts on large errors besides the square (autofocus), and weight of its direction part."""

LEAST = 3
"""Training perturbations of measured genes that the network needs."""


def adjacency(vectors: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the normalized graph (g x g, float32): each gene with its most similar ones by cosine, and itself."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    out = np.zeros((len(unit), len(unit)), np.float32)
    for low in range(0, len(unit), 1024):
        near = unit[low : low + 1024] @ unit.T
        near[np.arange(len(near)), np.arange(low, low + len(near))] = -np.inf
        k = min(neighbors, len(unit) - 1)
        columns = np.argpartition(-near, k - 1, axis=1)[:, :k]
        rows = np.repeat(np.arange(low, low + len(near)), k)
        out[rows, columns.ravel()] = np.maximum(near[np.repeat(np.arange(len(near)), k), columns.ravel()], 0)
    out = np.maximum(out, out.T) + np.eye(len(out), dtype=np.float32)
    degree = 1 / np.sqrt(out.sum(axis=1))
    return out * degree[:, None] * degree


class GraphNet(nn.Module):
    """Vector of each gene after two rounds of messages; the change of a gene from its own and the perturbed ones'."""

    def __init__(self, vectors: Tensor, graph: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("graph", graph)
        self.first, self.second = nn.Linear(vectors.shape[1], width), nn.Linear(width, width)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.read = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gain = nn.Parameter(torch.full((len(vectors),), 0.1))

    def forward(self, which: Tensor) -> Tensor:
        """Return the change of each gene (u x g) for perturbations given as rows of a u x g indicator."""
        hidden = torch.tanh(self.graph @ self.first(self.vectors))
        hidden = hidden + torch.tanh(self.graph @ self.second(hidden))
        entered = self.mix(which @ hidden)  # the sum over perturbed genes, mixed, as in GEARS
        return (entered @ self.read(hidden).T) * self.gain / entered.shape[1] ** 0.5


def gears_loss(made: Tensor, true: Tensor) -> Tensor:
    """Square, autofocus and direction loss after GEARS, mean over genes and perturbations.

    The direction loss of GEARS compares signs, which have no gradient; here it compares tanh(10 x) with the sign.
    """
    error = made - true
    signs = (torch.tanh(10 * made) - torch.sign(true)).pow(2) * true.abs()
    return error.pow(2).mean() + error.abs().pow(2 + GAMMA).mean() + DIRECTION * signs.mean()


def _indicator(units: list[Unit], columns: dict[str, int], control: str, g: int) -> tuple[np.ndarray, np.ndarray]:
    out, known = np.zeros((len(units), g), np.float32), np.zeros(len(units), bool)
    for row, (name, _context) in enumerate(units):
        places = [columns.get(part) for part in parts_of(name, control)]
        known[row] = bool(places) and None not in places
        if known[row]:
            out[row, places] = 1.0
    return out, known


def predict_by_graph(
    request: Request, units: list[Unit], shifts: np.ndarray, targets: list[Unit], control: str, X: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return the shift of each target (targets x g), and what was replaced.

    A tenth of the training perturbations, or the view's part `validation`, picks the epoch.

    Raises
    ------
    NotApplicable
        If too few of the perturbed genes are measured.
    """
    seed_everything(derive_seed(request.seed, "graph"))
    columns, params = gene_columns(request.view), request.params
    which, known = _indicator(units, columns, control, len(X))
    asked, answerable = _indicator(targets, columns, control, len(X))
    if known.sum() < LEAST or answerable.mean() < 0.5:
        msg = (
            f"the genes of {int(known.sum())} of {len(units)} training perturbations and of {int(answerable.sum())} of "
            f"{len(targets)} targets are measured; the graph has no place for the others"
        )
        raise NotApplicable(msg)
    counts, wanted = which.sum(axis=1), asked.sum(axis=1)
    contexts = {context for _, context in [*units, *targets]}
    numbers = np.array([max(len(parts_of(name, control)), 1) for name, _ in units], float)
    base = {context: per_gene_effect(units, shifts, numbers, context) for context in contexts}
    Y = (shifts - numbers[:, None] * np.array([base[context] for _, context in units]))[known]
    scale = float(Y.std()) or 1.0
    held = _held(request, [unit for unit, use in zip(units, known, strict=True) if use])
    vectors = whitened(X, params["n_components"])
    net = GraphNet(
        torch.tensor(vectors, dtype=torch.float32), torch.from_numpy(adjacency(X, params["neighbors"])), params["width"]
    )
    inputs, true = torch.from_numpy(which[known]), torch.tensor(Y, dtype=torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-2)
    best, best_state = float((true[held] ** 2).mean()), None  # no change beyond the mean effect
    for _epoch in range(params["epochs"]):
        net.train()
        optimizer.zero_grad()
        gears_loss(net(inputs[~held]) * scale, true[~held]).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            error = float(((net(inputs[held]) * scale - true[held]) ** 2).mean())
        if error < best:
            best, best_state = error, {name: value.clone() for name, value in net.state_dict().items()}
    made = np.zeros((len(targets), len(X)))
    told = []
    if best_state is None:
        told.append("no epoch was better than the mean effect on the validation perturbations, which is given instead")
    else:
        net.load_state_dict(best_state)
        with torch.no_grad():
            made = net(torch.from_numpy(asked)).double().numpy() * scale
    made[~answerable] = 0.0
    if not answerable.all():
        told.append(f"{int((~answerable).sum())} targets are not measured genes; they get the mean effect")
    request.facts.update(training_perturbations=int(counts.astype(bool).sum()), device="cpu")
    wanted = np.maximum(wanted, 1.0)
    return made + wanted[:, None] * np.array([base[context] for _, context in targets]), told


def _held(request: Request, units: list[Unit]) -> np.ndarray:
    """Mark the training perturbations that pick the epoch: the view's, else a tenth (at least one), by the seed."""
    view = request.view
    chosen = set(view.obs["perturbation"][request.part("validation")]) if "part" in view.obs else set()
    held = np.array([name in chosen for name, _ in units], bool)
    if not held.any() or held.all():
        held = np.zeros(len(units), bool)
        held[np.random.default_rng(request.seed).permutation(len(units))[: max(1, len(units) // 10)]] = True
    return torch.from_numpy(held)
