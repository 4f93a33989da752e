"""What a transformer offers to the shared verbs: three modules in its package, checked by duck typing.

`tokens.py`::

    tokenize(counts, genes, cell_ids, vocabulary, settings, seed, fit_rows=None) -> Tokens

`checkpoint.py`::

    load(folder, settings, seed) -> loading.Loaded      # official folder as it comes; raises CheckpointError
    new(genes, settings, seed) -> loading.Loaded        # random weights, vocabulary of the dataset; report None
    save(folder, network, vocabulary) -> None           # the official layout (pre-training)
    known_genes(folder) -> Iterable[str]                # for `sceval-model genes`; imports no torch

`network.py`: a subclass of `transformer.network.TransformerNetwork` (an `nn.Module` with defaults for all but
`config.width`, `layers`, `encode`).

`settings` is one dictionary: every declared parameter with its recipe filled in, and `verb` and `regime`. `genes` is
`sceval.data.genes.Genes`, one entry for each column. `seed` is the run's seed: derive your own
(`training.seed.derive_seed(seed, "mask")`). Columns come sorted by gene id of the view (`Session`), so that a
vocabulary made of them does not depend on the order of the file.

Errors: `problems.CheckpointError` (failed), `UnfitCheckpoint` and `NoKnownGenes` (not applicable), also
`models.request.NotApplicable` from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sceval.models.transformer.problems import CheckpointError as CheckpointError
from sceval.models.transformer.problems import NoKnownGenes as NoKnownGenes
from sceval.models.transformer.problems import UnfitCheckpoint as UnfitCheckpoint

if TYPE_CHECKING:
    import scipy.sparse as sp
    from torch import Tensor, nn

    from sceval.data.genes import Genes
    from sceval.models.transformer.loading import Loaded

Batch = Mapping[str, "Tensor"]
"""A mini-batch on the device; what `Tokens.batch` gave, each array a tensor."""


class Vocabulary(Protocol):
    """Genes that the model knows."""

    def lookup(self, genes: Genes) -> np.ndarray:
        """Return the token id (int64) of each gene, -1 where it is unknown. Two columns may share a token."""


class Tokens(Protocol):
    """Cells of a dataset as model input.

    Attributes
    ----------
    lengths
        Positions of each cell in the network, (n,) int64; bounds memory and sorts cells into mini-batches.
    usable
        Whether a cell expresses a gene that the model knows, (n,) bool; the others get NaN, or the class prior.
    recognised
        Share of the genes of the view that the vocabulary knows, 0 to 1.
    notes
        For the facts of the run (`genes_used`); plain types.
    warnings
        What was replaced, skipped or capped, one sentence each (over-long cells, ambiguous genes).

    An optional attribute `groups`, (n,) int64, says which cells may share a mini-batch: none of two groups do.
    """

    lengths: np.ndarray
    usable: np.ndarray
    recognised: float
    notes: dict[str, Any]
    warnings: list[str]

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return padded arrays of these usable cells, first axis the cells, cut to the longest of them.

        The same cell gives the same tokens whoever its neighbors are and whenever it is asked for: draws are hashes of
        cell id and seed (`training.seed`). A padding mask is best left out where nothing is padded.
        """


class TokensModule(Protocol):
    """Module `tokens` of a model."""

    def tokenize(
        self,
        counts: sp.csr_matrix,
        genes: Genes,
        cell_ids: list[str],
        vocabulary: Vocabulary,
        settings: dict[str, Any],
        seed: int,
        fit_rows: np.ndarray | None = None,
    ) -> Tokens:
        """Tokenize raw counts, cells x genes; never a dense matrix of all cells.

        `fit_rows` are the rows that may decide anything that is fitted on a dataset (the training cells when a model
        chooses variable genes); None = all. In `embed-cells` cells may come in blocks, so nothing may be fitted there.
        """


class CheckpointModule(Protocol):
    """Module `checkpoint` of a model."""

    def load(self, folder: Path, settings: dict[str, Any], seed: int) -> Loaded:
        """Load the official folder; `seed` is for what the file lacks. Raises `CheckpointError`, `UnfitCheckpoint`."""

    def new(self, genes: Genes, settings: dict[str, Any], seed: int) -> Loaded:
        """Make a network of the size in `settings` with random weights and the vocabulary of a dataset."""

    def save(self, folder: Path, network: nn.Module, vocabulary: Vocabulary) -> None:
        """Write the official layout; each file appears whole or not at all."""

    def known_genes(self, folder: Path) -> Iterable[str]:
        """Return the genes that a checkpoint knows, as the model names them; without importing torch."""


class Network(Protocol):
    """A network; `network.TransformerNetwork` has defaults for all but `config`, `layers` and `encode`.

    Attributes
    ----------
    config
        Frozen dataclass with at least `width` (length of a cell vector).
    layers
        `nn.ModuleList` of the transformer blocks from the input on (a property may return it).
    unit_length
        Whether `embed-cells` scales vectors to length 1 (scGPT does); False by default.
    one_vector
        Whether `features` is one vector for each cell, so that a fixed backbone computes it once; True by default.
    """

    config: Any
    layers: nn.ModuleList
    unit_length: bool
    one_vector: bool

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors, n x width, differentiable."""

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states, n x L x width, and the token id of the gene at each position as `Vocabulary.lookup` gives it.

        The id (n x L, int64) is -1 where the position is no gene (padding, specials) or the gene is not expressed.
        """

    def gene_table(self) -> Tensor | None:
        """Static gene vectors, one row for each token id; None where the model has none."""

    def features(self, batch: Batch) -> Tensor:
        """What the classification head takes, first axis the cells; by default `encode`."""

    def new_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """The official classification head, drawn from torch's generator (seeded); by default one linear layer."""

    def logits(self, head: nn.Module, batch: Batch) -> Tensor:
        """Logits, n x n_classes; by default `head(features(batch))`. Frozen runs call `head` on stored features."""

    def new_gene_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """Head on contextual gene vectors; by default one linear layer."""

    def input_modules(self) -> list[nn.Module]:
        """Embeddings and value encoders before the blocks: fixed in `frozen_embeddings`; empty by default."""

    def finetune_rule(self) -> Callable[[str], bool]:
        """Which parameters (by name) train under `finetune` as in the official code; by default all do."""

    def attention_projections(self) -> list[str]:
        """Names of the 2-D parameters (`layers.0.attention.query.weight`) that LoRA adapts; empty = no LoRA."""

    def pretraining_loss(self, batch: Batch, **options: Any) -> tuple[Tensor, dict[str, float]]:
        """Loss and its named terms, where the model can be pre-trained."""
