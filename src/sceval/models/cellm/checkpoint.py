"""Official CellLM files: the encoder or a fine-tuned model, and the gene order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.performer.genelist import GeneList, read_gene_list, write_gene_list
from sceval.models.transformer.problems import CheckpointError

if TYPE_CHECKING:
    from sceval.data.genes import Genes
    from sceval.models.cellm.network import CellLM
    from sceval.models.performer.head import SlotHead
    from sceval.models.transformer.loading import Loaded

WEIGHTS = ("checkpoint4_fixed.pth", "CellLM.pth", "cellm_pretrain.pth")
GENES = "gene_list.txt"
ORDER = ("zheng68k*.h5ad", GENES, "genes.txt")
#: Length of the padded sequence of the official models; no file holds it, and results depend on it.
OFFICIAL_LENGTH = 6000
SETTINGS = "sceval.json"
ASK = (
    "CellLM's gene vectors are those of 19,379 symbols in an order that the weights do not hold: put the file "
    "zheng68k_hgnc.h5ad (its var names are the order; the authors publish it with their data, see the docs of "
    f"github.com/PharMolix/OpenBioMed) or {GENES} (one symbol a line, in that order) into the folder of the weights"
)
HEADS = {"conv.": "head.conv.", "pred_head.1.": "head.fc1.", "pred_head.4.": "head.fc2.", "pred_head.7.": "head.fc3."}


def _use(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"pool": settings.get("pool", "cls"), "head": settings.get("head", "official"), **changes}


def _behavior(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "stabilizer": settings.get("stabilizer", "cell"),
        "redraw_every": settings.get("redraw_every", 0),
        "dropout": settings.get("dropout", 0.0),
    }


def _length(folder: Path, settings: dict[str, Any]) -> int:
    """Length of the padded sequence: the parameter, else what our own files tell, else the official one."""
    if settings.get("max_length"):
        return int(settings["max_length"])
    path = folder / SETTINGS
    if not path.is_file():
        return OFFICIAL_LENGTH
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["max_length"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: expected a JSON object with an integer max_length ({error})") from error


def load(folder: Path, settings: dict[str, Any], seed: int) -> Loaded:
    """Load an official folder: the weights (``checkpoint4_fixed.pth``) and the gene order.

    Parameters
    ----------
    folder
        Pre-trained or fine-tuned; a classifier in the file is left out (see :func:`load_head`).
    settings
        ``weights_file`` names the file where several are there; ``max_length``, ``pool``, ``head``, ``stabilizer``,
        ``redraw_every``, ``dropout`` as the program's parameters.
    seed
        For parts that a file lacks.

    Raises
    ------
    CheckpointError
        A file is missing, damaged or foreign, or backbone tensors do not fit (with the list).
    """
    from sceval.models.cellm.network import N_TOKENS, CellLM
    from sceval.models.performer.checkpoint import find_weights, load_network, read_weights
    from sceval.models.transformer.loading import Loaded

    folder = Path(folder)
    path = find_weights(folder, WEIGHTS, settings.get("weights_file", ""))
    length = _length(folder, settings)
    network, report = load_network(
        CellLM,
        "CellLM",
        path,
        read_weights(path, HEADS),
        n_tokens=N_TOKENS,
        special_rows=2,
        behavior=_behavior(settings),
        use=_use(settings, max_length=length),
        seed=seed,
    )
    return Loaded(network, GeneList(read_gene_list(folder, ORDER, ASK, network.n_genes), length), report)


def load_head(folder: Path, network: CellLM, weights_file: str = "") -> SlotHead:
    """Return the classifier of a fine-tuned file."""
    from sceval.models.performer.checkpoint import find_weights, head_from_tensors, read_weights

    path = find_weights(Path(folder), WEIGHTS, weights_file)
    return head_from_tensors(read_weights(path, HEADS), path, network.n_slots)


def new(genes: Genes, settings: dict[str, Any], seed: int) -> Loaded:
    """Make a network of the size in the settings with random weights; its gene vectors train.

    The sequence is as long as the genes that it may show (``n_hvg``, else all), cls included.
    """
    import torch

    from sceval.models.cellm.network import N_TOKENS, CellLM
    from sceval.models.performer.checkpoint import build
    from sceval.models.performer.language_model import LanguageModelConfig
    from sceval.models.performer.network import PerformerConfig
    from sceval.models.transformer.loading import Loaded

    vocabulary = GeneList.of(genes)
    wanted = settings.get("n_hvg", 0)
    shown = min(wanted, len(vocabulary)) if wanted > 0 else len(vocabulary)
    length = settings.get("max_length") or shown + 1
    vocabulary = GeneList(vocabulary.genes, length)
    sizes = {key: settings[key] for key in ("dim", "depth", "heads", "dim_head", "n_features")}
    stack = PerformerConfig(**sizes, **_behavior(settings))
    use = _use(settings, max_length=length, train_positions=True)
    network = build(CellLM, LanguageModelConfig(stack, N_TOKENS, len(vocabulary) + 2, **use), seed)
    with torch.no_grad():  # the two special rows as in the official table
        network.pos_emb.weight[-2] = 1.0
        network.pos_emb.weight[-1] = 0.0
    return Loaded(network.eval(), vocabulary, None)


def save(folder: Path, network: CellLM, vocabulary: GeneList, head: SlotHead | None = None) -> None:
    """Write the official layout, the gene order, and the length of the sequence, which official files leave out.

    With a classifier the backbone gets the prefix that it has in fine-tuned files.
    """
    from sceval.models.performer.checkpoint import write_weights

    back = {ours: official for official, ours in HEADS.items()}

    def rename(name: str) -> str:
        for ours, official in back.items():
            if name.startswith(ours):
                return official + name.removeprefix(ours)
        return name if head is None else f"encoder.{name}"

    folder = Path(folder)
    write_weights(folder / WEIGHTS[-1], network, head=head, rename=rename)
    write_gene_list(folder / GENES, vocabulary.genes)
    (folder / SETTINGS).write_text(json.dumps({"max_length": network.config.max_length}) + "\n", encoding="utf-8")


def known_genes(folder: Path) -> Iterable[str]:
    """Return the genes of a folder's gene order."""
    return read_gene_list(Path(folder), ORDER, ASK)
