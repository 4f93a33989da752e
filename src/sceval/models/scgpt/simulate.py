"""`simulate`: new cells, value by value, from a network that is told the cell type (and batch) in the place of cls.

Training hides a random share of a cell's values, up to all, and asks for their bins (cross-entropy). A new cell begins
with everything hidden; in some steps a random part of its genes is drawn from the predicted distribution and shown to
the network from then on. A real cell of the same group lends the counts that its bins stand for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.impute import counts_from_bins
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.regimes import network_for
from sceval.models.scgpt.tokens import MASK_VALUE, CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, shuffled_batches
from sceval.training.device import autocast
from sceval.training.loop import fit
from sceval.training.progress import CountLines
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms, seed_everything


class Conditioned(nn.Module):
    """A network whose position 0 holds a vector of the cell type plus one of the batch."""

    def __init__(self, network: ScGPT, n_types: int, n_batches: int) -> None:
        super().__init__()
        width = network.config.d_model
        self.network = network
        self.types = nn.Embedding(n_types, width)
        self.batches = nn.Embedding(max(n_batches, 1), width)

    def forward(
        self, gene_ids: Tensor, values: Tensor, types: Tensor, batches: Tensor, pad_mask: Tensor | None = None
    ) -> Tensor:
        """Logits of bins at every position but the first, (cells, positions - 1, bins)."""
        _, total = self.network.embed_inputs(gene_ids, values)
        group = (self.types(types) + self.batches(batches)).to(total.dtype)
        total = torch.cat([group[:, None], total[:, 1:]], dim=1)
        return self.network.decoder(self.network.transformer_encoder(total, pad_mask)[:, 1:])[0]


@dataclass(frozen=True)
class Wanted:
    """A group of new cells: position of its type and batch among the names, and how many."""

    cell_type: int
    batch: int
    n: int


def hidden_positions(
    tokens: CellTokenizer, gene_ids: np.ndarray, rows: np.ndarray, keys: np.ndarray, seed: int
) -> np.ndarray:
    """Which positions are hidden (True): of each cell a share that is itself drawn between 0 and 1, at least one."""
    share = hashed_uniforms(keys[rows], np.zeros(1, np.int64), derive_seed(seed, "share"))
    draw = np.stack([hashed_uniforms(keys[[r]], ids, seed).ravel() for r, ids in zip(rows, gene_ids, strict=True)])
    draw[:, 0] = np.inf  # the group's place
    draw[np.arange(draw.shape[1])[None, :] >= tokens.lengths[rows, None]] = np.inf
    return draw <= np.maximum(share.reshape(-1, 1), draw.min(axis=1, keepdims=True))


def fit_conditioned(
    session: Session, types: np.ndarray, batches: np.ndarray, learn: np.ndarray, on_progress: OnProgress = None
) -> Conditioned:
    """Train on the cells of `learn`; `types` and `batches` are codes of all cells, 0 and more."""
    settings, seed, place = session.settings, session.seed, session.place
    seed_everything(derive_seed(seed, "scgpt", "simulate"))
    loaded = session.adopt(
        network_for(
            session.weights,
            lambda: Vocabulary.of(session.genes),
            settings,
            derive_seed(seed, "weights"),
            n_classes=0,
            n_batches=0,
            n_domains=0,
            discriminator=0,
            decoder="plain",
            mvc=False,
            n_value_bins=settings["n_bins"],
            zero_prob=False,
        )
    )
    model = Conditioned(loaded.network, int(types.max()) + 1, int(batches.max()) + 1).to(place)
    order = learn[np.argsort(np.asarray(session.cell_ids, dtype=str)[learn], kind="stable")]
    ids = [session.cell_ids[i] for i in order]
    tokens = finetune_tokens(
        *(sp.csr_matrix(session.counts)[order], session.token_ids, ids, loaded.vocabulary, settings, seed),
        Notes(session.facts, session.warnings),
        keep_zeros=True,
    )
    keys, kinds, homes = hash_ids(ids), types[order], batches[order]
    train, held = holdout_split(
        np.flatnonzero(tokens.expressed > 0), settings["validation_fraction"], seed=seed, strata=kinds
    )

    def loss_of(module: Conditioned, rows: np.ndarray, key: int) -> Tensor:
        batch = tokens.batch(rows)
        hidden = hidden_positions(tokens, batch.gene_ids, rows, keys, key)
        values = torch.from_numpy(np.where(hidden, np.float32(MASK_VALUE), batch.values)).to(place)
        mask = torch.from_numpy(batch.pad_mask).to(place) if batch.has_padding else None
        codes = (torch.from_numpy(kinds[rows]).to(place), torch.from_numpy(homes[rows]).to(place))
        logits = module(torch.from_numpy(batch.gene_ids).to(place), values, *codes, mask)
        asked = torch.from_numpy(hidden[:, 1:]).to(place)
        target = torch.from_numpy(batch.values[:, 1:]).to(place)[asked].long()
        return F.cross_entropy(logits[asked].float(), target)

    def loss(module: Conditioned, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        value = loss_of(module, rows, derive_seed(seed, "hide", epoch))
        return value, {"bins": float(value.detach())}

    def validate(module: Conditioned) -> float:
        parts = np.array_split(held, -(-held.size // settings["batch_size"]))
        return float(
            sum(float(loss_of(module, part, derive_seed(seed, "hide", "held"))) * part.size for part in parts)
            / held.size
        )

    history = fit(
        model,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(model, settings),
        settings=loop_settings(settings),
        device=place,
        validate=validate if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    session.facts.update(best_epoch=history.best_epoch + 1, epochs_run=len(history.train), train_cells=int(train.size))
    return model


@torch.no_grad()
def draw_bins(
    model: Conditioned,
    vocabulary: Vocabulary,
    genes: np.ndarray,
    types: np.ndarray,
    batches: np.ndarray,
    generators: list[np.random.Generator],
    *,
    steps: int,
    max_length: int,
    mixed_precision: bool = True,
) -> np.ndarray:
    """Bins of new cells (cells x genes), drawn part by part.

    Parameters
    ----------
    model, vocabulary
        Network and its tokens.
    genes
        Token of each gene.
    types, batches
        Codes of the new cells.
    generators
        One for each new cell, so that none depends on the others.
    steps
        Parts that the genes are drawn in; more where they do not have room.
    max_length
        Most positions at once (0 = no limit): half of them may be genes drawn before.
    """
    place = model.types.weight.device
    n, g = len(types), len(genes)
    room = (max_length or 2 * g + 1) - 1
    steps = min(max(steps, -(-g // max(room // 2, 1))), g)
    orders = np.stack([generator.permutation(g) for generator in generators])
    out = np.zeros((n, g), dtype=np.int64)
    codes = (torch.from_numpy(types).to(place), torch.from_numpy(batches).to(place))
    rows = np.arange(n)[:, None]
    for part in np.array_split(np.arange(g), steps):
        asked, before = orders[:, part], orders[:, : part[0]]
        if before.shape[1] > room - part.size:
            before = before[:, before.shape[1] - (room - part.size) :]
        columns = np.concatenate([asked, before], axis=1)
        ids = np.concatenate([np.full((n, 1), vocabulary.cls_id), genes[columns]], axis=1)
        values = np.concatenate([np.zeros((n, 1)), np.full(asked.shape, MASK_VALUE), out[rows, before]], axis=1)
        with autocast(place, mixed_precision):
            logits = model(
                torch.from_numpy(ids).to(place), torch.from_numpy(values.astype(np.float32)).to(place), *codes
            )
        chances = torch.softmax(logits[:, : part.size].double(), dim=-1).cumsum(dim=-1).cpu().numpy()
        draws = np.stack([generator.random(part.size) for generator in generators])
        out[rows, asked] = np.minimum((chances < draws[..., None]).sum(axis=-1), chances.shape[-1] - 1)
    return out


def simulate_cells(
    session: Session,
    types: np.ndarray,
    batches: np.ndarray,
    learn: np.ndarray,
    wanted: list[Wanted],
    on_progress: OnProgress = None,
) -> sp.csr_matrix:
    """Learn from cells of known type, and draw new ones.

    Parameters
    ----------
    session
        Of the verb `simulate`, regime ``finetune`` or ``scratch``; settings ``simulate_steps``, ``max_length``.
    types, batches
        Code of each cell, 0 and more (all 0 where there is one).
    learn
        Rows of the cells to learn from; the type of every wanted group is among them.
    wanted
        Groups, in the order of the result.
    on_progress
        Called after each training step.

    Returns
    -------
    Counts, new cells x genes in the order of the session; genes unknown to the model are 0.
    """
    settings, seed = session.settings, session.seed
    model = fit_conditioned(session, types, batches, learn, on_progress).eval()
    vocabulary, tokens_of = session.loaded.vocabulary, session.token_ids
    genes, first = np.unique(tokens_of[tokens_of >= 0], return_index=True)
    columns = np.flatnonzero(tokens_of >= 0)[first]
    counts = sp.csr_matrix(session.counts)[:, columns]
    bins_of = _bins(counts, settings["n_bins"])
    total, done = sum(group.n for group in wanted), 0
    tell = CountLines("scgpt simulate")
    parts = []
    for number, group in enumerate(wanted):
        lenders = _lenders(types, batches, learn, group, np.diff(counts.indptr) > 0, session.cell_ids)
        made = np.zeros((group.n, len(genes)), dtype=np.float32)
        for start in range(0, group.n, settings["batch_size"]):
            size = min(settings["batch_size"], group.n - start)
            generators = [np.random.default_rng(derive_seed(seed, "new", number, start + i)) for i in range(size)]
            codes = (np.full(size, group.cell_type, np.int64), np.full(size, group.batch, np.int64))
            drawn = draw_bins(
                *(model, vocabulary, genes, *codes, generators),
                steps=settings["simulate_steps"],
                max_length=settings["max_length"],
                mixed_precision=settings["mixed_precision"],
            )
            for i, generator in enumerate(generators):
                lender = lenders[generator.integers(len(lenders))]
                part = slice(counts.indptr[lender], counts.indptr[lender + 1])
                means = counts_from_bins(drawn[i].astype(float), bins_of.data[part], counts.data[part])
                made[start + i] = np.floor(means + generator.random(len(genes)))  # whole numbers of the same mean
            done += size
            tell(done, total)
        parts.append(sp.csr_matrix(made))
    ones = np.ones(len(columns), np.float32)
    spread = sp.csr_matrix((ones, (np.arange(len(columns)), columns)), (len(columns), len(tokens_of)))
    session.tell_device()
    return sp.csr_matrix(sp.vstack(parts, format="csr") @ spread)


def _bins(counts: sp.csr_matrix, n_bins: int) -> sp.csr_matrix:
    """Bins of each cell's counts, as the network saw them."""
    counts.eliminate_zeros()
    counts.sort_indices()
    return bin_rows(counts.astype(np.float32), n_bins, rule="one")[0]


def _lenders(
    types: np.ndarray, batches: np.ndarray, learn: np.ndarray, group: Wanted, full: np.ndarray, cell_ids: list[str]
) -> np.ndarray:
    """Real cells of a group's type and batch, of its type where its batch has none, sorted by id."""
    own = learn[(types[learn] == group.cell_type) & full[learn]]
    same = own[batches[own] == group.batch]
    rows = same if same.size else own
    return rows[np.argsort(np.asarray(cell_ids, dtype=str)[rows], kind="stable")]
