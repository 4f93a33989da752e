"""Integration of several modalities, by the official recipe: proteins and peaks are tokens beside the genes.

Modality and batch vectors enter at the decoders, not at the input. Of a checkpoint only the rows of known genes and the
scale of the gene encoder's LayerNorm are taken over, as upstream does; all else starts from random weights. Built from
the facts known of the official code, without numbers of it to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional as F

from sceval.data.hvg import highly_variable_genes
from sceval.models.scgpt import losses
from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.checkpoint import read_checkpoint
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.config import ScGPTConfig
from sceval.models.scgpt.encoder import TokenEncoder
from sceval.models.scgpt.heads import MVCDecoder
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.tokens import CLS_VALUE_FINETUNE, PAD_VALUE, TokenBatch, mask_values
from sceval.models.scgpt.vocabulary import SPECIALS, Vocabulary
from sceval.models.transformer.encode import unit_length
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of
from sceval.models.transformer.problems import NoKnownGenes
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, length_buckets, shuffled_batches
from sceval.training.device import autocast
from sceval.training.loop import fit
from sceval.training.seed import derive_seed, hash_ids, seed_everything

#: Feature modalities of a view; what a row of each modality measures. `paired` rows measure everything.
MEASURES = {"rna": ("rna",), "atac": ("gene_activity", "peak"), "protein": ("protein",)}
#: Layers of the official multi-omic model, whatever the checkpoint has.
OFFICIAL_LAYERS = 4


def feature_names(names: list[str], modality: np.ndarray) -> list[str]:
    """Token of each feature: proteins carry the prefix ``p_``, gene activities share the token of their gene."""
    return [f"p_{name}" if kind == "protein" else name for name, kind in zip(names, modality.astype(str), strict=True)]


def measures(row_kind: np.ndarray, modality: str) -> np.ndarray:
    """Whether each cell measures features of a modality."""
    return np.array([kind == "paired" or modality in MEASURES.get(kind, (kind,)) for kind in row_kind], dtype=bool)


def choose_features(
    counts: sp.csr_matrix, modality: np.ndarray, row_kind: np.ndarray, n_genes: int, n_other: int
) -> np.ndarray:
    """Columns to use: those most variable among the cells that measure them, modality by modality.

    ``n_genes`` of RNA and ``n_other`` of each other modality; 0 = all that have a value above 0.
    """
    chosen = []
    for kind in sorted(set(modality.astype(str))):
        seen = counts[measures(row_kind, kind)].tocsc()
        columns = np.flatnonzero((modality.astype(str) == kind) & (np.diff(seen.indptr) > 0))
        most = n_genes if kind == "rna" else n_other
        if most and columns.size > most:
            best = highly_variable_genes(seen[:, columns].tocsr(), most)
            columns = columns[best] if len(best) else columns[:most]
        chosen.append(columns)
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Features:
    """Cells of several modalities as tokens.

    Attributes
    ----------
    binned
        Cells x features (CSR), each modality of a cell binned by itself.
    ids, kinds
        Token, and modality code, of each feature.
    measured
        Whether the modality with this code is measured in the cell (cells x codes).
    cls_kind, pad_kind
        Modality codes of the cls token and of padding.
    """

    binned: sp.csr_matrix
    ids: np.ndarray
    kinds: np.ndarray
    measured: np.ndarray
    vocabulary: Vocabulary
    chooser: HashChooser
    max_length: int
    cls_kind: int
    pad_kind: int

    @property
    def usable(self) -> np.ndarray:
        """Whether a cell has a value above 0."""
        return np.diff(self.binned.indptr) > 0

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each cell, cls included."""
        n = self.measured.astype(np.int64) @ np.bincount(self.kinds, minlength=self.measured.shape[1])
        return np.minimum(n + 1, self.max_length)

    def batch(self, rows: np.ndarray) -> tuple[TokenBatch, np.ndarray]:
        """Tokens of the measured features of these cells, zeros included, and the modality code of each position."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        width = int(lengths.max())
        ids = np.full((rows.size, width), self.vocabulary.pad_id, dtype=np.int64)
        values = np.full((rows.size, width), PAD_VALUE, dtype=np.float32)
        kinds = np.full((rows.size, width), self.pad_kind, dtype=np.int64)
        ids[:, 0], values[:, 0], kinds[:, 0] = self.vocabulary.cls_id, CLS_VALUE_FINETUNE, self.cls_kind
        for i, row in enumerate(rows):
            columns = np.flatnonzero(self.measured[row][self.kinds])
            if columns.size + 1 > self.max_length:
                # By feature, so that a gene and its activity, which share a token, are drawn apart.
                names = self.ids[columns] * self.measured.shape[1] + self.kinds[columns]
                columns = columns[self.chooser.choose(int(row), names, self.max_length - 1)]
            n = columns.size + 1
            ids[i, 1:n], kinds[i, 1:n] = self.ids[columns], self.kinds[columns]
            values[i, 1:n] = self.binned[row, columns].toarray().ravel()
        return TokenBatch(ids, values, np.arange(width)[None, :] >= lengths[:, None]), kinds


class MultiOmic(ScGPT):
    """A network that knows modalities: their vectors are added to those of the batches where these enter."""

    def __init__(self, config: ScGPTConfig, n_kinds: int) -> None:
        super().__init__(config)
        width = config.d_model
        self.mod_encoder = TokenEncoder(n_kinds, width)
        self.mvc_decoder = MVCDecoder(2 * width, 2 * width)

    def predict(
        self, gene_ids: Tensor, values: Tensor, kinds: Tensor, batches: Tensor, pad_mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values from the genes' and from the cell's vectors, (cells, positions); cell vectors; logits of batches."""
        genes, total = self.embed_inputs(gene_ids, values)
        hidden = self.transformer_encoder(total, pad_mask)
        kind = self.mod_encoder(kinds)
        side = kind + self.batch_encoder(batches)[:, None]
        expression = self.decoder(torch.cat([hidden, side], dim=-1))[0]
        cell = torch.cat([hidden[:, 0], side[:, 0]], dim=-1)
        from_cell = self.mvc_decoder(cell, torch.cat([genes, kind], dim=-1))[0]
        return expression, from_cell, hidden[:, 0], self.grad_reverse_discriminator(hidden[:, 0])


def _network(session: Session, names: list[str], n_kinds: int, n_batches: int) -> tuple[MultiOmic, Vocabulary]:
    """A new network with the vocabulary of the dataset; rows of genes that a checkpoint knows are taken over."""
    settings, files = session.settings, None
    vocabulary = Vocabulary.from_genes(list(dict.fromkeys(names)))
    if session.weights is not None:
        files = read_checkpoint(session.weights)
    if files is None:
        sizes = {name: settings[name] for name in ("d_model", "n_heads", "n_layers")}
        sizes["d_ff"] = settings["d_ff"] or settings["d_model"]
    else:
        c = files.config
        layers = min(OFFICIAL_LAYERS, c.n_layers)
        sizes = {"d_model": c.d_model, "n_heads": c.n_heads, "n_layers": layers, "d_ff": c.d_ff}
    config = ScGPTConfig(
        n_tokens=max(vocabulary.ids.values()) + 1,
        pad_id=vocabulary.pad_id,
        n_batches=n_batches,
        discriminator=n_batches,
        mvc=False,
        dropout=settings["dropout"],
        attention_dropout=settings["attention_dropout"],
        **sizes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(session.seed, "weights"))
        network = MultiOmic(config, n_kinds)
    if files is not None:
        theirs, special = files.vocabulary.ids, {vocabulary.ids[name] for name in SPECIALS}
        known = [(row, theirs[name]) for name, row in vocabulary.ids.items() if name in theirs]
        genes = [pair for pair in known if pair[0] not in special]
        if not genes:
            raise NoKnownGenes("the checkpoint knows none of the genes of the view")
        with torch.no_grad():
            to, source = (torch.tensor(side) for side in zip(*known, strict=True))
            network.encoder.embedding.weight[to] = files.tensors["encoder.embedding.weight"][source]
            network.encoder.enc_norm.weight.copy_(files.tensors["encoder.enc_norm.weight"])
        session.facts.update(genes_transferred=len(genes), features=len(vocabulary.ids) - len(SPECIALS))
    return network.to(session.place), vocabulary


def integrate_modalities(
    session: Session,
    feature_kind: np.ndarray,
    row_kind: np.ndarray,
    batches: np.ndarray,
    on_progress: OnProgress = None,
) -> np.ndarray:
    """Train on all cells without labels (GEP, GEPC, batches unlearned), and embed them.

    Parameters
    ----------
    session
        Of the verb `integrate`, regime ``finetune`` or ``scratch``; settings ``n_hvg`` (genes), ``n_peaks`` (features
        of each other modality).
    feature_kind
        Modality of each feature: ``rna``, ``gene_activity``, ``peak``, ``protein``.
    row_kind
        What each cell measures: ``rna``, ``atac``, ``protein``, ``paired``.
    batches
        Batch of each cell; joined with `row_kind`, so that modalities are unlearned like batches.
    on_progress
        Called after each training step.

    Returns
    -------
    float32, cells x width, length 1; NaN rows where a cell has no value above 0.
    """
    settings, seed, place = session.settings, session.seed, session.place
    seed_everything(derive_seed(seed, "scgpt", "multiomic"))
    order = np.argsort(np.asarray(session.cell_ids, dtype=str), kind="stable")
    ids = [session.cell_ids[i] for i in order]
    counts = sp.csr_matrix(session.counts)[order].astype(np.float32)
    row_kind = np.asarray(row_kind, str)[order]
    labels = np.array([f"{b}|{k}" for b, k in zip(np.asarray(batches, str)[order], row_kind, strict=True)])
    names, codes = np.unique(labels, return_inverse=True)
    columns = choose_features(counts, np.asarray(feature_kind), row_kind, settings["n_hvg"], settings["n_peaks"])
    if not columns.size:
        raise NoKnownGenes("no feature has a value above 0")
    kinds_of = np.asarray(feature_kind, str)[columns]
    # Sorted names of modalities, then those of padding, cls and end of cell, as the official modality vocabulary.
    kinds = {name: code for code, name in enumerate([*sorted(set(kinds_of)), *SPECIALS])}
    genes = np.isin(kinds_of, ("rna", "gene_activity"))
    symbols = [(session.named if gene else session.genes).symbols[c] for c, gene in zip(columns, genes, strict=True)]
    ids_of = [symbol or str(session.gene_ids[c]) for symbol, c in zip(symbols, columns, strict=True)]
    tokens_of = feature_names(ids_of, kinds_of)
    network, vocabulary = _network(session, tokens_of, len(kinds), len(names))
    measured = np.zeros((len(ids), len(kinds)), dtype=bool)
    for name in set(kinds_of):
        measured[:, kinds[name]] = measures(row_kind, name)
    blocks = []
    for name in sorted(set(kinds_of)):
        rows, own = (sp.diags(chosen.astype(np.float32)) for chosen in (measures(row_kind, name), kinds_of == name))
        blocks.append((rows @ counts[:, columns] @ own).tocsr())
        blocks[-1].eliminate_zeros()
    binned = sum(bin_rows(block, settings["n_bins"], rule="one")[0] for block in blocks).tocsr()
    binned.sort_indices()
    keys = hash_ids(ids)
    tokens = Features(
        binned=binned,
        ids=np.array([vocabulary.ids[name] for name in tokens_of], dtype=np.int64),
        kinds=np.array([kinds[name] for name in kinds_of], dtype=np.int64),
        measured=measured,
        vocabulary=vocabulary,
        chooser=HashChooser(keys, seed, "subset"),
        max_length=settings["max_length"] or len(columns) + 1,
        cls_kind=kinds[SPECIALS[1]],
        pad_kind=kinds[SPECIALS[0]],
    )
    usable = np.flatnonzero(tokens.usable)
    train, held = holdout_split(usable, settings["validation_fraction"], seed=seed, strata=codes)

    def terms_of(model: MultiOmic, rows: np.ndarray, purpose: object) -> dict[str, Tensor]:
        batch, own_kinds = tokens.batch(rows)
        values, mask = mask_values(batch, rows, HashChooser(keys, seed, "mask", purpose), settings["mask_ratio"])
        padded = torch.from_numpy(batch.pad_mask).to(place) if batch.has_padding else None
        own = torch.from_numpy(codes[rows]).to(place)
        expression, from_cell, _, logits = model.predict(
            *(torch.from_numpy(array).to(place) for array in (batch.gene_ids, values, own_kinds)), own, padded
        )
        hidden = torch.from_numpy(mask).to(place)
        target = torch.from_numpy(batch.values).to(place)[hidden]
        return {
            "gep": losses.reconstruction(expression[hidden].float(), target),
            "gepc": losses.reconstruction(from_cell[hidden].float(), target),
            "dab": F.cross_entropy(logits.float(), own),
        }

    weights = {"gep": 1.0, "gepc": settings["mvc_weight"], "dab": settings["dab_weight"] if len(names) > 1 else 0.0}

    def loss(model: MultiOmic, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        terms = terms_of(model, rows, epoch)
        value = sum(weights[name] * term for name, term in terms.items())
        return value, {name: float(term.detach()) for name, term in terms.items()}

    def validate(model: MultiOmic) -> float:
        parts = length_buckets(tokens.lengths[held], settings["batch_size"])
        return float(np.mean([float(terms_of(model, held[part], "validation")["gep"]) for part in parts]))

    history = fit(
        network,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(network, settings),
        settings=loop_settings(settings),
        device=place,
        validate=validate if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    X = np.full((len(ids), network.config.d_model), np.nan, dtype=np.float32)
    with torch.no_grad(), autocast(place, settings["mixed_precision"]):
        for part in length_buckets(tokens.lengths[usable], settings["batch_size"]):
            batch, _ = tokens.batch(usable[part])
            padded = torch.from_numpy(batch.pad_mask).to(place) if batch.has_padding else None
            cells = network.encode_cells(
                torch.from_numpy(batch.gene_ids).to(place), torch.from_numpy(batch.values).to(place), padded
            )
            X[order[usable[part]]] = unit_length(cells.float().cpu().numpy())
    session.facts.update(
        modalities=sorted(set(kinds_of)),
        batches=list(map(str, names)),
        best_epoch=history.best_epoch + 1,
        epochs_run=len(history.train),
    )
    known = np.empty(len(ids), bool)
    known[order] = tokens.usable
    session.tell_unusable(known, "get no vector (a row of NaN)")
    session.tell_device()
    return X
