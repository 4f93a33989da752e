"""`perturb`: the official recipe; a control cell with flags at the perturbed genes becomes a perturbed cell.

Values are log-normalized and not binned, every gene of the view has a place, there is no cls token and no padding mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sceval.data.genes import Genes
from sceval.data.preprocess import log_cp10k
from sceval.models.request import NotApplicable
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import TensorBatch, weighted_loss
from sceval.models.scgpt.perturbation import predict_perturbed
from sceval.models.scgpt.regimes import network_for
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, shuffled_batches
from sceval.training.device import autocast
from sceval.training.loop import fit
from sceval.training.seed import derive_seed, hash_ids, hashed_bits, hashed_uniforms, seed_everything

#: Perturbations from which a tenth is held out to choose the epoch; below, cells are.
_ENOUGH = 10


@dataclass(frozen=True)
class Screen:
    """A perturbation experiment as the model sees it.

    Attributes
    ----------
    logs
        Cells x columns (CSR), log1p of CP10k over the view's genes; behind them a column of zeros for each perturbed
        gene that the view did not measure.
    token_ids
        Token of each column; the padding token where the vocabulary lacks the gene.
    flagged
        Perturbation -> its columns.
    names, contexts
        Perturbation (None where it is not told) and context of each cell.
    control
        Name of the control.
    keys
        Key of each cell, from its id.
    """

    logs: sp.csr_matrix
    token_ids: np.ndarray
    flagged: dict[str, np.ndarray]
    names: np.ndarray
    contexts: np.ndarray | None
    control: str
    keys: np.ndarray

    def controls(self, context: str | None = None) -> np.ndarray:
        """Rows of control cells, of one context where there are any."""
        rows = np.flatnonzero(self.names == self.control)
        if self.contexts is None or context is None:
            return rows
        own = rows[self.contexts[rows].astype(str) == context]
        return own if own.size else rows


def genes_of(name: str, control: str) -> list[str]:
    """Perturbed genes of a name such as ``A+B`` or ``A+ctrl``."""
    return [part for part in (text.strip() for text in name.split("+")) if part and part not in (control, "ctrl")]


def _columns_of(names: Sequence[str], session: Session, control: str) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Genes of each perturbation, and the column of each gene: by id, by symbol, else behind the view's columns."""
    parts = {name: genes_of(name, control) for name in names}
    column = {str(name): i for i, name in reversed(list(enumerate(session.genes.symbols))) if name}
    column |= {str(name): i for i, name in enumerate(session.gene_ids)}
    places, extra = {}, len(session.genes)
    for gene in sorted({gene for genes in parts.values() for gene in genes}):
        if gene not in column:
            column[gene], extra = extra, extra + 1
        places[gene] = column[gene]
    return parts, places


def _screen(
    session: Session, perturbation: np.ndarray, contexts: np.ndarray | None, control: str, targets: Sequence[str]
) -> tuple[Screen, ScGPT]:
    """Columns, tokens and flags, and the network whose vocabulary they belong to."""
    settings = session.settings
    told = sorted({str(name) for name in perturbation if name is not None} | set(map(str, targets)))
    parts, places = _columns_of(told, session, control)
    n = len(session.genes)
    outside = [gene for gene, place in sorted(places.items(), key=lambda item: item[1]) if place >= n]
    loaded = session.adopt(
        network_for(
            session.weights,
            lambda: Vocabulary.of(Genes.from_symbols([*session.genes.symbols, *outside])),
            settings,
            derive_seed(session.seed, "weights"),
            decoder="affine",
            n_perts=3,
            mvc=False,
            zero_prob=False,
            n_classes=0,
            n_batches=0,
            n_domains=0,
            discriminator=0,
        )
    )
    ids = np.concatenate([session.token_ids, loaded.vocabulary.lookup(outside)])
    if outside:
        session.warnings.append(
            f"{len(outside)} perturbed genes were not measured and got a place with value 0: {', '.join(outside[:5])}"
        )
    blind = [gene for gene, place in places.items() if ids[place] < 0]
    if blind:
        session.warnings.append(
            f"{len(blind)} perturbed genes are unknown to the model and look alike to it: {', '.join(blind[:5])}"
        )
    logs = sp.csr_matrix(log_cp10k(sp.csr_matrix(session.counts)), dtype=np.float32)
    logs = sp.hstack([logs, sp.csr_matrix((logs.shape[0], len(outside)), dtype=np.float32)], format="csr")
    flagged = {name: np.array([places[gene] for gene in genes], dtype=np.int64) for name, genes in parts.items()}
    ids = np.where(ids < 0, loaded.vocabulary.pad_id, ids)
    names = np.array([None if name is None else str(name) for name in perturbation], object)
    screen = Screen(logs, ids, flagged, names, contexts, control, hash_ids(session.cell_ids))
    return screen, loaded.network


def _flags(screen: Screen, names: np.ndarray) -> np.ndarray:
    out = np.zeros((len(names), len(screen.token_ids)), dtype=np.int64)
    for i, name in enumerate(names):
        out[i, screen.flagged[str(name)]] = 1
    return out


def _inputs_of(screen: Screen, rows: np.ndarray, seed: int) -> np.ndarray:
    """Control cell that each cell starts from: drawn by its id, of its own context; a control cell is its own."""
    out = np.array(rows)
    for i, row in enumerate(rows):
        if screen.names[row] != screen.control:
            pool = screen.controls(None if screen.contexts is None else str(screen.contexts[row]))
            draws = hashed_bits(screen.keys[[row]], screen.keys[pool].astype(np.int64) & 0x7FFFFFFF, seed)
            out[i] = pool[int(np.lexsort((screen.keys[pool], draws.ravel()))[0])]
    return out


def _some_columns(screen: Screen, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Columns of a mini-batch: those perturbed in it, and others at random, at most ``most`` (0 = all)."""
    total = len(screen.token_ids)
    if not most or total <= most:
        return np.arange(total)
    needed = np.unique(np.concatenate([screen.flagged[str(screen.names[row])] for row in rows]))
    draw = np.random.default_rng(seed).random(total)
    draw[needed.astype(np.int64)] = -1.0
    return np.sort(np.argsort(draw, kind="stable")[: max(most, needed.size)])


def _predicted_mean(
    network: ScGPT, screen: Screen, name: str, pool: np.ndarray, settings: dict, place: torch.device
) -> np.ndarray:
    """Mean prediction over control cells, float64, one value for each column."""
    ids = torch.from_numpy(screen.token_ids).to(place)
    total = np.zeros(len(screen.token_ids))
    for start in range(0, pool.size, settings["batch_size"]):
        rows = pool[start : start + settings["batch_size"]]
        values = torch.from_numpy(screen.logs[rows].toarray()).to(place)
        flags = torch.from_numpy(_flags(screen, np.array([name] * rows.size, object))).to(place)
        with autocast(place, settings["mixed_precision"]):
            made = predict_perturbed(network, ids, values, flags)
        total += made.double().sum(dim=0).cpu().numpy()
    return total / pool.size


def _pool(screen: Screen, context: str | None, most: int, seed: int) -> np.ndarray:
    """Control cells to predict from: at most ``most`` (0 = all), drawn by their ids."""
    rows = screen.controls(context)
    draw = hashed_uniforms(screen.keys[rows], np.zeros(1, dtype=np.int64), derive_seed(seed, "pool")).ravel()
    return rows[np.lexsort((screen.keys[rows], draw))][: most or None]


def predict_perturbations(
    session: Session,
    perturbation: np.ndarray,
    control: str,
    targets: Sequence[str],
    *,
    contexts: np.ndarray | None = None,
    target_contexts: Sequence[str] | None = None,
    validation: np.ndarray | None = None,
    on_progress: OnProgress = None,
) -> np.ndarray:
    """Train on control and perturbed cells, and predict the mean expression after each target perturbation.

    Parameters
    ----------
    session
        Of the verb `perturb`, regime ``finetune`` or ``scratch``. Settings: ``max_length`` (genes in a mini-batch of
        training; the perturbed ones are always among them), ``pool_size`` (control cells that a prediction is the mean
        over).
    perturbation
        Perturbation of each cell, None where it is not told: such cells do not train.
    control
        Name of the control.
    targets
        Perturbations to predict.
    contexts, target_contexts
        Context of each cell and of each target, where there are any: a cell starts from a control cell of its context.
    validation
        True for cells that pick the epoch; by default a tenth of the perturbations, or of the cells where they are few.
    on_progress
        Called after each training step.

    Returns
    -------
    float32, targets x genes in the order of the session; log1p of CP10k.

    Raises
    ------
    NotApplicable
        There is no control cell or no perturbed cell to learn from.
    """
    settings, seed, place = session.settings, session.seed, session.place
    contexts = None if contexts is None else np.asarray(contexts, object)
    seed_everything(derive_seed(seed, "scgpt", "perturb"))
    screen, network = _screen(session, perturbation, contexts, control, targets)
    perturbed = np.array([name is not None and name != control for name in screen.names])
    if not screen.controls().size or not perturbed.any():
        raise NotApplicable(
            f"the view has {screen.controls().size} control cells ({control!r}) and {int(perturbed.sum())} perturbed "
            "ones; both are needed"
        )
    order = np.argsort(np.asarray(session.cell_ids, dtype=str), kind="stable")
    usable = order[[screen.names[row] is not None for row in order]]
    train, held = _split(screen, usable, perturbed, validation, settings["validation_fraction"], seed)
    inputs = np.arange(len(screen.names))
    inputs[usable] = _inputs_of(screen, usable, derive_seed(seed, "controls"))

    def loss(model: ScGPT, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        # By the key of a cell, not by its row: the draw must not depend on where the cell stands in the file.
        drawn = derive_seed(seed, "genes", epoch, int(screen.keys[rows[0]]))
        columns = _some_columns(screen, rows, settings["max_length"], drawn)
        values = torch.from_numpy(screen.logs[inputs[rows]][:, columns].toarray()).to(place)
        batch = TensorBatch(
            torch.from_numpy(screen.token_ids[columns]).expand(rows.size, -1).to(place),
            values,
            target=torch.from_numpy(screen.logs[rows][:, columns].toarray()).to(place),
            pert_flags=torch.from_numpy(_flags(screen, screen.names[rows])[:, columns]).to(place),
        )
        return weighted_loss(model, batch, {"mse": 1.0})

    held_names = sorted({str(screen.names[row]) for row in held if perturbed[row]})

    def validate(model: ScGPT) -> float:
        """1 - Pearson correlation of predicted and true means, averaged over the held perturbations."""
        away = []
        for name in held_names:
            true = np.asarray(screen.logs[held[screen.names[held] == name]].mean(axis=0)).ravel()
            made = _predicted_mean(model, screen, name, _pool(screen, None, 32, seed), settings, place)
            away.append(1.0 - np.corrcoef(made, true)[0, 1])
        return float(np.mean(np.nan_to_num(away, nan=1.0)))

    history = fit(
        network,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(network, settings),
        settings=loop_settings(settings),
        device=place,
        validate=validate if held_names else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    out = np.empty((len(targets), len(session.genes)), dtype=np.float32)
    for i, name in enumerate(map(str, targets)):
        pool = _pool(screen, None if target_contexts is None else str(target_contexts[i]), settings["pool_size"], seed)
        out[i] = _predicted_mean(network, screen, name, pool, settings, place)[: out.shape[1]]
    session.facts.update(
        best_epoch=history.best_epoch + 1,
        epochs_run=len(history.train),
        train_cells=int(train.size),
        validation_perturbations=len(held_names),
    )
    session.tell_device()
    return out


def _split(
    screen: Screen,
    usable: np.ndarray,
    perturbed: np.ndarray,
    validation: np.ndarray | None,
    fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that train and rows that pick the epoch: given, or whole perturbations, or cells where these are few."""
    if validation is not None and (np.asarray(validation, bool)[usable] & perturbed[usable]).any():
        chosen = np.asarray(validation, bool)[usable]
        return usable[~chosen], usable[chosen]
    names = np.unique(screen.names[usable[perturbed[usable]]].astype(str))
    if fraction and names.size >= _ENOUGH:
        _, out = holdout_split(np.arange(names.size), fraction, seed=seed)
        chosen = np.isin(screen.names[usable].astype(str), names[out])
        return usable[~chosen], usable[chosen]
    codes = np.unique(screen.names.astype(str), return_inverse=True)[1]
    return holdout_split(usable, fraction, seed=seed, strata=codes)
