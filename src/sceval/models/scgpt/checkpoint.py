"""Official checkpoint folders (args.json, best_model.pt, vocab.json): read, checked, written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.data.genes import Genes
from sceval.models.scgpt.config import ScGPTConfig
from sceval.models.scgpt.keys import UNUSED, config_from_tensors, flash_name, native_name
from sceval.models.scgpt.vocabulary import PAD, SPECIALS, Vocabulary, VocabularyError
from sceval.models.transformer import loading
from sceval.models.transformer.loading import CheckpointError, Loaded, LoadReport, UnfitCheckpoint, require_files

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.models.scgpt.network import ScGPT

ARGS, WEIGHTS, VOCAB = "args.json", "best_model.pt", "vocab.json"
LAYOUT = f"a scGPT checkpoint is a folder with {ARGS}, {WEIGHTS} and {VOCAB}"


@dataclass(frozen=True)
class CheckpointFiles:
    """What a checkpoint folder holds: arguments, vocabulary, tensors (PyTorch spelling), the network it describes."""

    args: dict[str, Any]
    vocabulary: Vocabulary
    tensors: dict[str, Tensor]
    config: ScGPTConfig
    notes: tuple[str, ...]


def _read_args(path: Path) -> dict[str, Any]:
    try:
        args = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(args, dict) or "nheads" not in args:
        raise CheckpointError(f"{path}: expected a JSON object with at least 'nheads'; this is no scGPT args.json")
    style = args.get("input_emb_style", "continuous")
    if style != "continuous":
        raise CheckpointError(f"{path}: input_emb_style is {style!r}; only 'continuous' (all released models) works")
    if args.get("pre_norm"):
        raise CheckpointError(f"{path}: pre_norm is set; only post-norm models (all released ones) work")
    return args


def read_checkpoint(folder: str | Path) -> CheckpointFiles:
    """Read a checkpoint folder and work out which network it holds.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or the tensors are those of another model.
    """
    folder = Path(folder)
    require_files(folder, (ARGS, WEIGHTS, VOCAB), LAYOUT)
    args = _read_args(folder / ARGS)
    try:
        vocabulary = Vocabulary.read(folder / VOCAB, args.get("pad_token") or PAD)
    except VocabularyError as error:
        raise CheckpointError(str(error)) from error
    tensors = loading.respell(loading.read_state_dict(folder / WEIGHTS), native_name, folder / WEIGHTS)
    try:
        config = config_from_tensors(tensors, args, vocabulary.pad_id)
    except KeyError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS}: no tensor {error.args[0]}; this is no scGPT file (it begins with "
            f"{', '.join(list(tensors)[:3])})"
        ) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{folder}: {ARGS} and {WEIGHTS} do not fit together: {error}") from error
    if max(vocabulary.ids.values()) >= config.n_tokens:
        raise CheckpointError(
            f"{folder}: {VOCAB} has ids up to {max(vocabulary.ids.values())}, but the gene table has "
            f"{config.n_tokens} rows; the two files belong to different models"
        )
    told = {"embsize": config.d_model, "d_hid": config.d_ff, "nlayers": config.n_layers}
    notes = tuple(
        f"{ARGS} says {key} {args[key]}, the tensors say {size}; the tensors were followed"
        for key, size in told.items()
        if key in args and args[key] != size
    )
    return CheckpointFiles(args, vocabulary, tensors, config, notes)


def is_backbone(name: str) -> bool:
    """Whether a tensor (PyTorch spelling) belongs to the backbone, as opposed to a head or a batch term."""
    from sceval.models.scgpt.network import BACKBONE

    return name.split(".", 1)[0] in BACKBONE


def load_checkpoint(
    folder: str | Path, *, seed: int = 0, **changes: Any
) -> tuple[ScGPT, Vocabulary, LoadReport, CheckpointFiles]:
    """Load a checkpoint folder into a network.

    Parameters
    ----------
    folder
        Folder with args.json, best_model.pt, vocab.json.
    seed
        Seed for the weights of heads that the file lacks.
    **changes
        Fields of :class:`ScGPTConfig` to change against the file (``n_classes=7``): tensors that then no longer fit
        are reported as left out and new.

    Returns
    -------
    model, vocabulary, report, files
        The network is in evaluation mode.
    """
    import torch

    from sceval.models.scgpt.network import ScGPT

    files = read_checkpoint(folder)
    if files.config.batch_norm and changes.get("n_domains"):
        raise UnfitCheckpoint(
            f"{folder}: this checkpoint has a batch normalization of its own (bn.*, versions before 0.2), and "
            "per-batch normalization (DSBN) would replace it; switch `dsbn` off, or use a newer checkpoint"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ScGPT(replace(files.config, **changes))
    # Perturbation starts from files that have no flags, as the official recipe does.
    flags_are_new = bool(changes.get("n_perts")) and not files.config.n_perts
    report = loading.fill(
        model,
        files.tensors,
        is_backbone=lambda name: is_backbone(name) and not (flags_are_new and name.startswith("pert_encoder.")),
        unused=dict.fromkeys(UNUSED, "read by pre-training only"),
        where=folder,
        notes=files.notes,
        files=[Path(folder) / WEIGHTS],
    )
    return model.eval(), files.vocabulary, report, files


def save_checkpoint(
    folder: str | Path,
    model: ScGPT,
    vocabulary: Vocabulary,
    *,
    args: Mapping[str, Any] | None = None,
    spelling: str = "native",
) -> None:
    """Write a network in the official layout; every file appears whole or not at all.

    Parameters
    ----------
    folder
        Made if absent.
    args
        More entries for args.json (a recipe, batch names).
    spelling
        ``native`` (PyTorch names) or ``flash`` (names of the official whole-human file).
    """
    if spelling not in ("native", "flash"):
        raise ValueError(f"unknown spelling {spelling!r}; choose native or flash")
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    c = model.config
    told = {
        "pad_token": vocabulary.pad_token,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "mask_value": -1,
        "pad_value": -2,
        "nlayers": c.n_layers,
        "nheads": c.n_heads,
        "embsize": c.d_model,
        "d_hid": c.d_ff,
        "dropout": c.dropout,
        "n_layers_cls": c.n_cls_layers,
        "MVC": c.mvc,
        **({"pert_pad_id": c.pert_pad_id} if c.n_perts else {}),
    }
    rename = flash_name if spelling == "flash" else str
    tensors = {rename(k): v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        (Path(work) / ARGS).write_text(json.dumps({"n_bins": 51, **(args or {}), **told}, indent=2), encoding="utf-8")
        vocabulary.write(Path(work) / VOCAB)
        torch.save(tensors, Path(work) / WEIGHTS)
        for name in (ARGS, VOCAB, WEIGHTS):
            (Path(work) / name).replace(folder / name)


def load(folder: Path, settings: Mapping[str, Any], seed: int) -> Loaded:
    """Load a folder for the shared verbs, without the decoders.

    Per-batch normalization (DSBN) stays for `embed-cells` alone: what was trained on its input cannot do without it.

    Raises
    ------
    CheckpointError
        See `read_checkpoint`.
    UnfitCheckpoint
        The checkpoint normalizes each of its training batches apart, and the verb has no batches.
    """
    parts: dict[str, Any] = {"decoder": "none", "mvc": False, "zero_prob": False, "n_classes": 0, "discriminator": 0}
    parts |= {"n_batches": 0, "dropout": settings["dropout"], "attention_dropout": settings["attention_dropout"]}
    if settings["verb"] != "embed-cells":
        parts["n_domains"] = 0
    network, vocabulary, report, files = load_checkpoint(folder, seed=seed, **parts)
    if files.config.n_domains and not network.config.n_domains:
        verb = {"annotate": "annotation"}.get(settings["verb"], settings["verb"])
        raise UnfitCheckpoint(f"this checkpoint was trained for integration (DSBN); {verb} cannot start from it")
    network.batch_names = files.args.get("batches")
    return Loaded(network, vocabulary, report)


def new(genes: Genes, settings: Mapping[str, Any], seed: int) -> Loaded:
    """Make a network of the size in the settings with random weights, for the genes of a dataset."""
    from sceval.models.scgpt.regimes import network_for
    from sceval.training.seed import derive_seed

    seed = derive_seed(seed, "weights")
    # Pre-training predicts values, from their positions and from the cell vector; other verbs add the heads they need.
    heads = {"decoder": "plain", "mvc": True} if settings["verb"] == "pretrain" else {"decoder": "none", "mvc": False}
    return network_for(None, lambda: Vocabulary.of(genes), settings, seed, **heads)


def save(folder: Path, network: ScGPT, vocabulary: Vocabulary) -> None:
    """Write the official layout; see `save_checkpoint`."""
    save_checkpoint(folder, network, vocabulary)


def known_genes(folder: Path) -> Iterable[str]:
    """Return the symbols of a checkpoint's vocabulary."""
    require_files(Path(folder), (VOCAB,), LAYOUT)
    try:
        vocabulary = Vocabulary.read(Path(folder) / VOCAB)
    except VocabularyError as error:
        raise CheckpointError(str(error)) from error
    return [token for token in vocabulary.ids if token not in SPECIALS]
