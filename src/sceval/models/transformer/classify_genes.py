"""`classify-genes`: a head on contextual gene vectors, fine-tuned on the labelled genes over all cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.contract import CellFile
from sceval.contract.results import GeneClasses
from sceval.models.request import NotApplicable
from sceval.models.transformer.encode import each_batch, to_device
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of, seeded_head, unlora
from sceval.models.transformer.regimes import apply_regime, training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import bucketed_batches
from sceval.training.loop import fit
from sceval.training.seed import derive_seed, seed_everything


@dataclass(frozen=True)
class LabelledGenes:
    """Genes of a view by part: positions among its genes; `codes` are classes of all genes, -1 without one."""

    classes: np.ndarray
    codes: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def labelled_genes(view: CellFile, columns: np.ndarray) -> LabelledGenes:
    """Read `var['gene_class']` and `var['part']` of the columns of a session (`session.columns`).

    Raises
    ------
    NotApplicable
        There are no labels, fewer than two classes among the training genes, or no gene is asked for.
    """
    if "gene_class" not in view.var or "part" not in view.var:
        raise NotApplicable("the view has no columns `gene_class` and `part` in var, so there is nothing to learn from")
    part = np.array(["" if value is None else str(value) for value in view.var["part"][columns]], object)
    labels = view.var["gene_class"][columns]
    known = np.array([label is not None for label in labels], bool)
    train, validation = known & (part == "train"), known & (part == "validation")
    classes = np.unique(labels[train].astype(str))
    if len(classes) < 2:
        raise NotApplicable(f"the training genes hold {len(classes)} classes; at least two are needed")
    test = np.flatnonzero(part == "test")
    if not test.size:
        raise NotApplicable("the view asks for no gene (part `test` in var)")
    codes = np.full(len(part), -1, np.int64)
    place = {name: i for i, name in enumerate(classes)}
    codes[known] = [place.get(str(label), -1) for label in labels[known]]
    validation &= codes >= 0  # a class that no training gene has cannot be predicted
    return LabelledGenes(classes.astype(object), codes, np.flatnonzero(train), np.flatnonzero(validation), test)


class GeneClassifier(nn.Module):
    """A network with a head on its contextual gene vectors."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, batch: dict[str, Tensor], slots: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of all occurrences of tokens whose slot is 0 or more, m x classes, and these slots (m,)."""
        hidden, tokens = self.network.contextual(batch)
        known = tokens.clamp(-1, slots.numel() - 2)  # the last slot, -1, is read for position -1 too
        found = slots[known]
        there = (found >= 0) & (tokens >= 0)
        return self.head(hidden[there]).float(), found[there]


def _slots(ids: np.ndarray, values: np.ndarray, place: torch.device) -> Tensor:
    """Return a table from token id to value, -1 for all other tokens and in its last entry."""
    table = np.full(int(ids.max(initial=0)) + 3, -1, np.int64)
    table[ids] = values
    return torch.from_numpy(table).to(place)


def classify_genes(session: Session, genes: LabelledGenes, on_progress: OnProgress = None) -> GeneClasses:
    """Fine-tune on the training genes, and give the classes of the genes that are asked for.

    The loss is the cross-entropy averaged over the occurrences of training genes in the cells of a mini-batch; the
    prediction for a gene is its mean probability over all cells in which it occurs. The epoch is picked by the
    validation genes.

    Parameters
    ----------
    session
        Regime `frozen`, `frozen_embeddings`, `finetune` or `scratch`.
    genes
        Positions among the columns of the session.
    on_progress
        Called after each step.
    """
    settings, seed, place = session.settings, session.seed, session.place
    seed_everything(derive_seed(seed, session.model.info.name, "classify-genes"))
    network, ids = session.loaded.network, session.token_ids
    order = np.argsort(np.asarray(session.cell_ids, str), kind="stable")
    tokens = session.tokenize(order)
    asked = ids[np.concatenate([genes.test, genes.validation])]
    train = genes.train[(ids[genes.train] >= 0) & ~np.isin(ids[genes.train], asked)]
    if not train.size:
        raise NotApplicable("the model knows none of the training genes")
    expressing = np.diff(session.counts[order][:, train].indptr) > 0
    rows = np.flatnonzero(tokens.usable & expressing)
    if not rows.size:
        raise NotApplicable("no cell expresses a training gene that the model knows")

    apply_regime(network, settings["regime"], settings, seed)
    head = seeded_head(lambda: network.new_gene_head(len(genes.classes), settings), derive_seed(seed, "head"))
    model = GeneClassifier(network, head).to(place)
    targets = _slots(ids[train], genes.codes[train], place)

    def loss(module: nn.Module, chosen: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        logits, found = module(to_device(tokens.batch(chosen), place), targets)
        # A long cell may have lost all its training genes; a mini-batch of such cells adds nothing.
        value = F.cross_entropy(logits, found) if found.numel() else logits.sum() * 0 + _zero(module)
        return value, {"cls": float(value.detach())}

    def mean_probability(wanted: np.ndarray) -> np.ndarray:
        return _mean_probability(session, model, tokens, ids[wanted])

    held = genes.validation[ids[genes.validation] >= 0]

    def validate(module: nn.Module) -> float:
        found = mean_probability(held)[np.arange(held.size), genes.codes[held]]
        return (
            float(-np.log(np.maximum(found[np.isfinite(found)], 1e-12)).mean()) if np.isfinite(found).any() else np.nan
        )

    history = fit(
        model,
        batches=lambda epoch: bucketed_batches(rows, tokens.lengths, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(model, settings),
        settings=loop_settings(settings),
        device=place,
        validate=validate if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    unlora(network, settings)
    probability = np.full((genes.test.size, len(genes.classes)), np.nan)
    known = ids[genes.test] >= 0
    probability[known] = mean_probability(genes.test[known])
    nowhere = np.isnan(probability).any(axis=1)
    probability[nowhere] = np.bincount(genes.codes[train], minlength=len(genes.classes)) / train.size
    if nowhere.any():
        session.warnings.append(
            f"{int(nowhere.sum())} of {nowhere.size} genes are unknown to the model or occur in no cell, and get the "
            f"class prior; first: {session.gene_ids[genes.test[nowhere][0]]}"
        )
    session.tell_device()
    session.facts.update(
        best_epoch=history.best_epoch + 1,
        epochs_run=len(history.train),
        train_genes=int(train.size),
        validation_genes=int(held.size),
        genes_without_occurrence=int(nowhere.sum()),
    )
    return GeneClasses(session.gene_ids[genes.test].astype(object), genes.classes, probability)


def _zero(module: nn.Module) -> Tensor:
    """Return a zero that depends on what trains, so that it can be differentiated."""
    return sum(p.sum() * 0 for p in module.parameters() if p.requires_grad)


def _mean_probability(session: Session, model: GeneClassifier, tokens: object, wanted: np.ndarray) -> np.ndarray:
    """Return the mean over occurrences of the probabilities of some tokens, m x classes; NaN where there is none."""
    place = session.place
    unique, inverse = np.unique(wanted, return_inverse=True)
    slots = _slots(unique, np.arange(unique.size), place)
    sums: list[Tensor] = []
    counts = torch.zeros(unique.size, dtype=torch.float64, device=place)

    def use(rows: np.ndarray, batch: dict[str, Tensor]) -> None:
        logits, found = model(batch, slots)
        if not sums:
            sums.append(torch.zeros(unique.size, logits.shape[1], dtype=torch.float64, device=place))
        sums[0].index_add_(0, found, logits.double().softmax(dim=1))
        counts.index_add_(0, found, torch.ones(found.numel(), dtype=torch.float64, device=place))

    each_batch(tokens, np.flatnonzero(tokens.usable), place, session.settings, use)
    return (sums[0] / counts[:, None]).cpu().numpy()[inverse]
