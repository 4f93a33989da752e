"""A network that predicts hidden values: the checkpoint's, fine-tuned, or new, for imputation."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.feeding import masked_tensors
from sceval.models.scgpt.integrate import masked_error
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import weighted_loss
from sceval.models.scgpt.options import loss_weights, value_bins
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.regimes import network_for
from sceval.models.scgpt.tokens import CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of
from sceval.models.transformer.loading import Loaded
from sceval.models.transformer.problems import UnfitCheckpoint
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, shuffled_batches
from sceval.training.loop import History, fit
from sceval.training.seed import derive_seed, hash_ids, seed_everything


def masked_network(session: Session) -> Loaded:
    """Load or make the network with its decoders, and tell the session.

    Raises
    ------
    UnfitCheckpoint
        Nothing is trained, and the checkpoint has no decoder that fits.
    """
    settings, trained = session.settings, session.settings["regime"] != "zero_shot"
    parts = {"n_classes": 0, "n_batches": 0, "n_domains": 0, "discriminator": 0, "decoder": "plain", "mvc": True}
    if trained:
        parts |= {"n_value_bins": value_bins(settings), "zero_prob": settings["zero_prob_weight"] > 0}
        parts["mvc"] = settings["mvc_weight"] > 0
    loaded = session.adopt(
        network_for(
            session.weights,
            lambda: Vocabulary.of(session.genes),
            settings,
            derive_seed(session.seed, "weights"),
            **parts,
        )
    )
    if not trained:
        new = [name for name in loaded.report.new if name.startswith("decoder.")]
        if new:
            raise UnfitCheckpoint(
                f"this checkpoint has no expression decoder of its own that could predict values ({len(new)} tensors "
                "are missing or of another shape); fine-tune it (regime finetune)"
            )
    return loaded


def has_mvc(loaded: Loaded) -> bool:
    """Whether the decoder from the cell vector can be used: it is there, and not at random weights."""
    made = [] if loaded.report is None else loaded.report.new
    return loaded.network.config.mvc and not any(name.startswith("mvc_decoder.") for name in made)


def fit_masked(
    session: Session, loaded: Loaded, on_progress: OnProgress = None, learn: np.ndarray | None = None
) -> History:
    """Train on hidden values of cells; the epoch with the smallest error of validation cells is kept.

    `learn` are the rows of the cells that train, all by default.

    Cells are taken in the order of their ids. In each step ``mask_ratio`` of a cell's values, zeros included, is
    hidden; the loss sums masked errors and likelihoods of decoder and MVC.
    """
    settings, seed, place = session.settings, session.seed, session.place
    seed_everything(derive_seed(seed, "scgpt", "masked"))
    tokens, rows, keys = _tokens(session, loaded, learn)
    terms = loss_weights(settings | {"ecs_weight": 0.0, "cce_weight": 0.0}, batches=False, labels=False)
    train, held = holdout_split(rows, settings["validation_fraction"], seed=seed)

    def loss(network: ScGPT, chosen: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        chooser = HashChooser(keys, seed, "mask", epoch)
        return weighted_loss(network, masked_tensors(tokens, chosen, chooser, settings["mask_ratio"], place), terms)

    codes = np.zeros(len(keys), dtype=np.int64)
    history = fit(
        loaded.network,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(loaded.network, settings),
        settings=loop_settings(settings),
        device=place,
        validate=masked_error(tokens, held, codes, keys, settings, seed) if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    session.facts.update(best_epoch=history.best_epoch + 1, epochs_run=len(history.train), train_cells=int(train.size))
    return history


def _tokens(session: Session, loaded: Loaded, learn: np.ndarray | None) -> tuple[CellTokenizer, np.ndarray, np.ndarray]:
    """Tokens of the cells in the order of their ids, the usable rows, and the cells' keys."""
    rows = np.arange(len(session.cell_ids)) if learn is None else np.asarray(learn)
    order = rows[np.argsort(np.asarray(session.cell_ids, dtype=str)[rows], kind="stable")]
    ids = [session.cell_ids[i] for i in order]
    tokens = finetune_tokens(
        *(sp.csr_matrix(session.counts)[order], session.token_ids, ids, loaded.vocabulary),
        *(session.settings, session.seed, Notes(session.facts, session.warnings)),
        keep_zeros=True,
    )
    return tokens, np.flatnonzero(tokens.expressed > 0), hash_ids(ids)


def expected_bins(prediction: Tensor) -> Tensor:
    """Expected number of the bin: the prediction itself, or the mean over logits of bins; last dimension bins."""
    bins = torch.arange(prediction.shape[-1], dtype=torch.float32, device=prediction.device)
    return torch.softmax(prediction.float(), dim=-1) @ bins
