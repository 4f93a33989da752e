"""`perturb-insilico`: what deleting or raising a gene does to the vectors of cells (Theodoris et al. 2023).

A gene is deleted by taking its token out of the ranking, overexpressed by putting it in front (after cls). The effect
is 1 - cosine of the cell's vector before and after. In a mean over genes the perturbed gene's own vector counts on
neither side, nor does that of a gene which had to leave the ranking for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sceval.contract.results import InSilico
from sceval.models.geneformer.infer import chosen_genes, drawn_rows
from sceval.models.geneformer.network import mean_of
from sceval.models.request import NotApplicable
from sceval.models.transformer.encode import CellProgress, to_device
from sceval.training.device import autocast

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.contract import CellFile
    from sceval.models.geneformer.network import Network
    from sceval.models.geneformer.tokens import RankTokens
    from sceval.models.transformer.session import Session


def perturbed_ranking(ranking: np.ndarray, token: int, action: str, most: int) -> np.ndarray | None:
    """Return the gene tokens of a cell after a perturbation; None where it does not apply to the cell.

    Parameters
    ----------
    ranking
        Gene tokens in the order of their rank, without specials.
    token
        The gene.
    action
        `delete` (applies to cells that have the gene) or `overexpress` (to all).
    most
        Most genes that a cell may have: an added gene pushes the last one out.
    """
    others = ranking[ranking != token]
    if action == "delete":
        return others if 0 < len(others) < len(ranking) else None
    return np.concatenate([[token], others])[:most] if len(others) and most > 1 else None


def _vectors(network: Network, x: Tensor, ids: Tensor, leave: Tensor) -> Tensor:
    """Cell vectors (n, width) from hidden states; `leave` (n, k) are tokens that do not count, -2 for none."""
    if network.config.pooled == "cls":
        return x[:, 0]
    counts = (ids >= 0) & (ids[:, :, None] != leave[:, None, :]).all(-1)
    return mean_of(x, counts)


def _cosine(a: Tensor, b: Tensor) -> np.ndarray:
    return torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1).cpu().numpy()


class Perturbation:
    """Perturbs the cells of one dataset, and keeps what came of it for each gene.

    Parameters
    ----------
    session, tokens
        Network, device and settings; cells.
    genes
        Tokens to perturb.
    goal
        Direction to compare with (width), or None.
    """

    def __init__(self, session: Session, tokens: RankTokens, genes: np.ndarray, goal: Tensor | None) -> None:
        self.session, self.tokens, self.genes, self.goal = session, tokens, genes, goal
        self.shift, self.toward = np.zeros(len(genes)), np.zeros(len(genes))
        self.cells = np.zeros(len(genes), np.int64)

    def _states(self, rankings: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        place, settings = self.session.place, self.session.settings
        with torch.no_grad(), autocast(place, settings.get("mixed_precision", True)):
            x, ids = self.session.loaded.network.contextual(to_device(self.tokens.pad(rankings), place))
        return x.float(), ids

    def add(self, rows: np.ndarray) -> None:
        """Perturb each gene in the given cells, one gene at a time."""
        network, action = self.session.loaded.network, self.session.settings["perturbation"]
        own = [self.tokens.genes_of(row) for row in rows]
        most = self.tokens.vocabulary.max_tokens - self.tokens.extra
        before, ids = self._states(own)
        for number, token in enumerate(self.genes):
            made = [perturbed_ranking(ranking, token, action, most) for ranking in own]
            chosen = [i for i, ranking in enumerate(made) if ranking is not None]
            if not chosen:
                continue
            leave = np.full((len(chosen), 2), token, np.int64)
            for line, i in zip(leave, chosen, strict=True):
                pushed = np.setdiff1d(own[i], made[i])
                line[1] = pushed[0] if len(pushed) and action == "overexpress" else token
            out = torch.from_numpy(leave).to(before.device)
            after, new_ids = self._states([made[i] for i in chosen])
            at = torch.tensor(chosen, device=before.device)
            first = _vectors(network, before[at], ids[at], out)
            second = _vectors(network, after, new_ids, out)
            self.shift[number] += (1 - _cosine(first, second)).sum()
            self.cells[number] += len(chosen)
            if self.goal is not None:
                self.toward[number] += (_cosine(second, self.goal) - _cosine(first, self.goal)).sum()


def _asked(session: Session, text: str, most: int) -> np.ndarray:
    """Return the columns to perturb: those named (ids or symbols, comma-separated), else the most widely expressed."""
    if not text.strip():
        return chosen_genes(session, np.zeros(len(session.gene_ids), bool), most)
    places = {str(name): i for i, name in enumerate(session.gene_ids)}
    for i, symbol in enumerate(session.genes.symbols):
        places.setdefault(symbol, i)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    known = session.token_ids
    absent = [name for name in wanted if name not in places or known[places[name]] < 0]
    if absent:
        raise NotApplicable(f"perturb_genes: {', '.join(absent[:5])} is no gene of the view that the model knows")
    return np.array([places[name] for name in wanted])


def _goal(session: Session, view: CellFile, tokens: RankTokens, rows: np.ndarray, label: str) -> Tensor:
    """Return the mean vector of the cells of a type."""
    from sceval.models.transformer.encode import vectors_of

    if "cell_type" not in view.obs:
        raise NotApplicable("goal names a cell type, but the view has no column `cell_type` in obs")
    there = np.flatnonzero(tokens.usable & (np.asarray(view.obs["cell_type"])[rows] == label))
    if not there.size:
        raise NotApplicable(f"goal: no usable cell is of the type {label!r}")
    X = vectors_of(session.loaded.network.encode, tokens, there, session.place, session.settings)
    return torch.from_numpy(X.mean(0, dtype=np.float64)).to(session.place)[None]


def perturb_insilico(session: Session, view: CellFile) -> InSilico:
    """Perturb genes one at a time.

    Parameters
    ----------
    session
        Settings: `perturbation` (`delete` or `overexpress`), `perturb_genes` (names, comma-separated; empty = the
        `perturb_most` genes that most cells express), `perturb_cells` (cells drawn, 0 = all), `goal` (a cell type, or
        empty).
    view
        For the labels of `goal`.

    Raises
    ------
    NotApplicable
        A named gene is not known, no cell has the label of `goal`, or no perturbation applies to any cell.
    """
    settings = session.settings
    session.loaded  # noqa: B018 - too few known genes end here
    columns = _asked(session, settings["perturb_genes"], settings["perturb_most"])
    rows = drawn_rows(session, settings["perturb_cells"], "perturbed cells")
    tokens = session.tokenize(rows)
    goal = _goal(session, view, tokens, rows, settings["goal"]) if settings["goal"] else None
    result = Perturbation(session, tokens, session.token_ids[columns], goal)
    known = np.flatnonzero(tokens.usable)
    known = known[np.argsort(-tokens.lengths[known], kind="stable")]
    progress = CellProgress(f"{session.model.info.name} perturb-insilico", len(known))
    for start in range(0, len(known), settings["batch_size"]):
        part = known[start : start + settings["batch_size"]]
        result.add(part)
        progress(len(part))
    found = result.cells > 0
    if not found.any():
        raise NotApplicable("no perturbation applies: no cell expresses one of the genes asked for")
    if not found.all():
        session.warnings.append(f"{int((~found).sum())} of {found.size} genes are in no cell and have no row")
    session.facts["cells_used"] = len(known)
    session.tell_device()
    cells = result.cells[found]
    names = np.asarray(session.gene_ids, object)[columns[found]]
    toward = None if goal is None else result.toward[found] / cells
    return InSilico(names, settings["perturbation"], result.shift[found] / cells, cells, toward)
