"""`impute`: every gene of a cell is predicted from other genes of the cell, fold by fold, in counts.

The genes are divided into folds. For each fold the cell is shown its genes of the other folds (the expressed ones where
nothing is trained, as in pre-training; zeros too where it was trained on them) and asked for all genes of this one,
whose values are hidden; so no prediction sees the value that it predicts. What the network gives is the number of a
bin; the means of the cell's own counts in its bins, joined by straight lines, turn it into counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from sceval.data.genes import sum_columns
from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.masked import expected_bins, fit_masked, has_mvc, masked_network
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.tokens import CLS_VALUE_FINETUNE, CLS_VALUE_ZERO_SHOT, MASK_VALUE, PAD_VALUE
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.fitting import OnProgress
from sceval.models.transformer.session import Session
from sceval.training.batching import length_buckets
from sceval.training.device import autocast
from sceval.training.progress import CountLines
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


@dataclass(frozen=True)
class Prediction:
    """Expected counts (float32, rows x known genes), and which cells have one (the others express no known gene).

    ``columns`` are positions of the known genes' tokens: token of each column of ``X``.
    """

    X: np.ndarray
    known: np.ndarray
    columns: np.ndarray


@dataclass(frozen=True)
class _Cells:
    binned: sp.csr_matrix
    ids: np.ndarray
    chooser: HashChooser
    zeros: bool

    def shown(self, row: int, others: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and bins of a cell's genes where ``others`` is True, cut to what has room."""
        part = slice(self.binned.indptr[row], self.binned.indptr[row + 1])
        columns, values = self.binned.indices[part], self.binned.data[part]
        if self.zeros:
            full = np.zeros(self.ids.size, dtype=np.float32)
            full[columns] = values
            ids, values = self.ids[others], full[others]
        else:
            ids, values = self.ids[columns[others[columns]]], values[others[columns]]
        if ids.size > room:
            chosen = self.chooser.choose(row, ids, room)
            ids, values = ids[chosen], values[chosen]
        return ids, values


def folds_of(ids: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each gene: equal parts in the order of a hash of token and seed, whatever the order of the columns."""
    draw = hashed_uniforms(np.zeros(1, dtype=np.uint64), ids, derive_seed(seed, "folds")).ravel()
    rank = np.empty(len(ids), dtype=np.int64)
    rank[np.lexsort((ids, draw))] = np.arange(len(ids))
    return rank * n_folds // max(len(ids), 1)


def counts_from_bins(bins: np.ndarray, own_bins: np.ndarray, own_counts: np.ndarray) -> np.ndarray:
    """Counts for (fractional) numbers of bins of one cell.

    Parameters
    ----------
    bins
        Predicted numbers, any; below 0 counts as 0, above the cell's highest bin as that.
    own_bins, own_counts
        Bins and counts of the genes that the cell expresses.

    Returns
    -------
    Linear interpolation between (0, 0) and the mean count in each bin that the cell has.
    """
    present, place = np.unique(own_bins, return_inverse=True)
    means = np.bincount(place, weights=own_counts) / np.bincount(place)
    return np.interp(bins, np.r_[0.0, present], np.r_[0.0, means])


@torch.no_grad()
def _predict_fold(
    network: ScGPT,
    vocabulary: Vocabulary,
    shown: list[tuple[np.ndarray, np.ndarray]],
    targets: np.ndarray,
    cls_value: float,
    place: torch.device,
    mvc: bool,
    mixed_precision: bool,
) -> np.ndarray:
    """Expected bins of the targets (cells x targets) for cells that are shown some of their genes."""
    t, n = targets.size, len(shown)
    width = 1 + t + max(ids.size for ids, _ in shown)
    gene_ids = np.full((n, width), vocabulary.pad_id, dtype=np.int64)
    values = np.full((n, width), PAD_VALUE, dtype=np.float32)
    gene_ids[:, 0], values[:, 0] = vocabulary.cls_id, cls_value
    gene_ids[:, 1 : t + 1], values[:, 1 : t + 1] = targets, MASK_VALUE
    for i, (ids, own) in enumerate(shown):
        gene_ids[i, t + 1 : t + 1 + ids.size], values[i, t + 1 : t + 1 + ids.size] = ids, own
    lengths = np.array([1 + t + ids.size for ids, _ in shown])
    padded = np.arange(width)[None, :] >= lengths[:, None]
    mask = torch.from_numpy(padded).to(place) if padded.any() else None
    with autocast(place, mixed_precision):
        genes, total = network.embed_inputs(torch.from_numpy(gene_ids).to(place), torch.from_numpy(values).to(place))
        hidden = network.transformer_encoder(total, mask)
        parts = [network.decoder(hidden[:, 1 : t + 1])]
        if mvc:
            parts.append(network.mvc_decoder(hidden[:, 0], genes[:, 1 : t + 1]))
    made = []
    for prediction, expressed in parts:
        bins = expected_bins(prediction) if prediction.dim() == 3 else prediction.float()
        bins = bins.clamp(min=0)
        made.append(bins if expressed is None else bins * expressed.float())
    return torch.stack(made).mean(dim=0).cpu().numpy()


def predict_counts(
    session: Session, rows: np.ndarray, on_progress: OnProgress = None, learn: np.ndarray | None = None
) -> Prediction:
    """Predict the counts of all known genes in some cells.

    Parameters
    ----------
    session
        Of the verb `impute`; regime ``zero_shot`` (the checkpoint's decoders), ``finetune`` or ``scratch`` (hidden
        values of all cells of the view are learned first). Settings: ``impute_folds``, ``max_length`` (tokens shown
        and asked for at once), ``match_depth`` (scale a cell's predictions to the total that it has of these genes).
    rows
        Cells that are asked for.
    on_progress
        Called after each training step.
    learn
        Rows of the cells that train, all by default.

    Raises
    ------
    UnfitCheckpoint
        The checkpoint has no decoder, and none is trained.
    """
    settings, place = session.settings, session.place
    loaded = masked_network(session)
    if settings["regime"] != "zero_shot":
        fit_masked(session, loaded, on_progress, learn)
    network = loaded.network.eval()
    counts, ids = sum_columns(sp.csr_matrix(session.counts)[rows], session.token_ids)
    counts = counts.astype(np.float32)
    counts.eliminate_zeros()
    counts.sort_indices()
    binned, _ = bin_rows(counts, settings["n_bins"], rule="one")
    keys = hash_ids([session.cell_ids[i] for i in rows])
    cells = _Cells(binned, ids, HashChooser(keys, session.seed, "subset"), settings["regime"] != "zero_shot")
    most = max((settings["max_length"] or len(ids) + 1) // 2, 1)
    n_folds = min(max(settings["impute_folds"], -(-len(ids) // most)), len(ids))
    fold = folds_of(ids, n_folds, session.seed)
    known = np.flatnonzero(np.diff(binned.indptr) > 0)
    bins = np.zeros((len(rows), len(ids)), dtype=np.float32)
    cls_value = CLS_VALUE_ZERO_SHOT if settings["cls_value"] == "pad" else CLS_VALUE_FINETUNE
    # A trained decoder from the cell vector was new in the file, and is not any more.
    mvc = network.config.mvc if settings["regime"] != "zero_shot" else has_mvc(loaded)
    tell = CountLines("scgpt impute", things="folds of genes")
    for asked in range(n_folds):
        columns = np.flatnonzero(fold == asked)
        room = max(settings["max_length"] - 1 - columns.size, 1) if settings["max_length"] else len(ids)
        shown = [cells.shown(int(row), fold != asked, room) for row in known]
        lengths = np.array([own.size for own, _ in shown], dtype=np.int64) + 1 + columns.size
        for part in length_buckets(lengths, settings["batch_size"], max_tokens=settings["batch_size"] * 1024):
            bins[np.ix_(known[part], columns)] = _predict_fold(
                *(network, loaded.vocabulary, [shown[i] for i in part], ids[columns], cls_value, place),
                mvc=mvc,
                mixed_precision=settings["mixed_precision"],
            )
        tell(asked + 1, n_folds)
    X = np.zeros_like(bins)
    for row in known:
        part = slice(counts.indptr[row], counts.indptr[row + 1])
        X[row] = counts_from_bins(bins[row], binned.data[part], counts.data[part])
        if settings["match_depth"] and (total := X[row].sum()) > 0:
            X[row] *= counts.data[part].sum() / total
    session.facts.update(impute_folds=int(n_folds), decoders="decoder and MVC" if mvc else "decoder")
    session.tell_device()
    return Prediction(X, np.isin(np.arange(len(rows)), known), ids)
