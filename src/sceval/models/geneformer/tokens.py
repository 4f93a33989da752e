"""Rank-value encoding: the genes of a cell in descending order of count / median, as tokens.

The order is that of count / total x 10,000 / median (Theodoris et al. 2023, methods): total and 10,000 are the same for
all genes of a cell. Genes of equal value stand in the order of their tokens; upstream's sort leaves them in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.models.geneformer.counts import SCALE, cell_totals, collapse
from sceval.models.geneformer.masking import IGNORED, RATIO, hide
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

    from sceval.data.genes import Genes
    from sceval.models.geneformer.vocabulary import Vocabulary

CELLS_PER_BLOCK = 2048


def ranked(
    counts: sparse.csr_matrix, ids: np.ndarray, medians: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield row, tokens and counts / medians of each cell, in descending order of the latter; nothing is cut.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    ids
        Token of each column, below 0 where it is unknown.
    medians
        Median of each token.
    """
    for start in range(0, counts.shape[0], CELLS_PER_BLOCK):
        block = collapse(counts[start : start + CELLS_PER_BLOCK], ids, len(medians))
        values = block.data / medians[block.indices]
        for row in range(block.shape[0]):
            part = slice(block.indptr[row], block.indptr[row + 1])
            order = np.argsort(-values[part], kind="stable")
            yield start + row, block.indices[part][order], values[part][order]


def rank_values(
    counts: sparse.csr_matrix, ids: np.ndarray, medians: np.ndarray, totals: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the rank values of each cell, descending: count / total x 10,000 / median.

    `totals` are the cells' total counts; by default those of all genes of the file.
    """
    totals = cell_totals(counts) if totals is None else np.asarray(totals, np.float64)
    return [values * (SCALE / totals[row]) for row, _, values in ranked(counts, ids, medians)]


class RankTokens:
    """Tokens of the cells of one dataset.

    Parameters
    ----------
    genes
        Gene tokens of all cells, one after the other, ranked and cut.
    starts
        Start of each cell, n + 1.
    full
        Genes of each cell before it was cut.
    vocabulary
        Supplies the special tokens.
    cell_ids, seed
        For what is drawn for a cell.
    recognised
        Share of the genes of the view that the vocabulary knows.
    """

    def __init__(
        self,
        genes: np.ndarray,
        starts: np.ndarray,
        full: np.ndarray,
        vocabulary: Vocabulary,
        cell_ids: list[str],
        seed: int,
        recognised: float,
    ) -> None:
        self.genes, self.starts, self.full = genes, starts, full
        self.vocabulary = vocabulary
        self.recognised = recognised
        self.seed = seed
        self.extra = int(vocabulary.cls_id is not None) + int(vocabulary.eos_id is not None)
        kept = np.diff(starts)
        self.usable = kept > 0
        self.lengths = (kept + self.extra).astype(np.int64)
        cut = int((full > kept).sum())
        self.notes: dict[str, Any] = {"cells_cut": cut, "most_tokens": int(self.lengths.max(initial=0))}
        self.warnings: list[str] = []
        if cut:
            self.warnings.append(
                f"{cut} of {len(kept)} cells express more genes than the model takes; their lowest ranks were cut"
            )
        self._keys = hash_ids(cell_ids)

    def genes_of(self, row: int) -> np.ndarray:
        """Return the gene tokens of a cell in the order of their rank, without specials."""
        return self.genes[self.starts[row] : self.starts[row + 1]].astype(np.int64)

    def pad(self, cells: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Return ranked genes of cells as a batch: specials added, padded to the longest, masked where padded."""
        v = self.vocabulary
        front = [] if v.cls_id is None else [v.cls_id]
        back = [] if v.eos_id is None else [v.eos_id]
        lengths = np.array([len(own) + self.extra for own in cells])
        ids = np.full((len(cells), lengths.max(initial=0)), v.pad_id, np.int64)
        for line, own, length in zip(ids, cells, lengths, strict=True):
            line[:length] = np.concatenate([front, own, back])
        out = {"input_ids": ids}
        if len(cells) and lengths.min() < ids.shape[1]:
            out["attention_mask"] = np.arange(ids.shape[1])[None, :] < lengths[:, None]
        return out

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return `input_ids` and, where cells differ in length, `attention_mask` (True at tokens)."""
        return self.pad([self.genes_of(row) for row in np.asarray(rows)])

    def masked_batch(self, rows: np.ndarray, epoch: int, ratio: float = RATIO) -> dict[str, np.ndarray]:
        """Return a batch for masked-token training, with `labels`.

        What is hidden in a cell is a function of its id, the seed and the epoch: not of its neighbors or the batch
        size.
        """
        rows = np.asarray(rows)
        out = self.batch(rows)
        out["labels"] = np.full(out["input_ids"].shape, IGNORED, np.int64)
        first = int(self.vocabulary.cls_id is not None)
        kinds = [derive_seed(self.seed, "masked tokens", epoch, name) for name in ("whether", "how", "which")]
        for i, row in enumerate(rows):
            own = self.genes_of(row)
            draws = np.stack([hashed_uniforms(self._keys[row], own, kind) for kind in kinds])
            part = slice(first, first + len(own))
            shown, labels = hide(own, draws, self.vocabulary.mask_id, self.vocabulary.gene_tokens, ratio)
            out["input_ids"][i, part], out["labels"][i, part] = shown, labels
        return out


def tokenize(
    counts: sparse.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> RankTokens:
    """Rank the genes of all cells.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts; any scaling of single cells gives the same tokens.
    genes
        The columns.
    cell_ids
        Ids of the rows, for what is drawn in training.
    vocabulary
        From the checkpoint, or of the dataset: then its medians are learned here, from `fit_rows`.
    settings
        `max_tokens`: most tokens of a cell, specials included; 0 or absent = as many as the model has positions (V1
        2,048, V2 4,096).
    seed
        Seed of the run.
    fit_rows
        Cells that the medians of a model from scratch may be learned from; all by default.
    """
    ids = vocabulary.lookup(genes)
    if not vocabulary.fitted:
        vocabulary.fit(counts, ids, fit_rows)
    specials = int(vocabulary.cls_id is not None) + int(vocabulary.eos_id is not None)
    wanted = int(settings.get("max_tokens") or vocabulary.max_tokens)
    longest = min(wanted, vocabulary.max_tokens) - specials
    if longest < 1:
        raise ValueError(f"max_tokens is {wanted}; expected at least {specials + 1}")
    kind = np.min_scalar_type(max(len(vocabulary) - 1, 1))
    parts, full = [], np.zeros(counts.shape[0], np.int64)
    for row, tokens, _ in ranked(counts, ids, vocabulary.medians):
        full[row] = len(tokens)
        parts.append(tokens[:longest].astype(kind))
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    flat = np.concatenate(parts) if parts else np.zeros(0, kind)
    recognised = float((ids >= 0).mean()) if len(ids) else 0.0
    out = RankTokens(flat, starts, full, vocabulary, cell_ids, seed, recognised)
    out.notes |= {"genes_used": len(np.unique(ids[ids >= 0])), "style": "V1" if specials == 0 else "V2"}
    return out
