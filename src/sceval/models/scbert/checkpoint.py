"""Official scBERT files: the pre-trained checkpoint and the gene order of the Panglao reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.performer.genelist import GeneList, read_gene_list, write_gene_list
from sceval.models.transformer.problems import CheckpointError

if TYPE_CHECKING:
    from sceval.data.genes import Genes
    from sceval.models.performer.head import SlotHead
    from sceval.models.scbert.network import ScBert
    from sceval.models.transformer.loading import Loaded

WEIGHTS = ("panglao_pretrain.pth", "panglao_pretrained.pth", "scbert_pretrain.pth")
GENES = "reference_genes.txt"
ORDER = ("panglao*.h5ad", GENES, "gene_list.txt", "genes.txt")
ASK = (
    "scBERT's positions are the 16,906 genes of its Panglao reference, and the weights do not hold their names: put "
    "panglao_10000.h5ad (its var names are the order; published by the authors beside the checkpoint, see Data and "
    f"Checkpoint in the README of github.com/TencentAILabHealthcare/scBERT) or {GENES} (one symbol a line, in that "
    "order) into the folder of the weights"
)
HEADS = {
    "to_out.conv1.": "head.conv.",
    "to_out.fc1.": "head.fc1.",
    "to_out.fc2.": "head.fc2.",
    "to_out.fc3.": "head.fc3.",
}


def _use(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"pool": settings.get("pool", "all"), "head": settings.get("head", "official"), **changes}


def _behavior(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "stabilizer": settings.get("stabilizer", "cell"),
        "redraw_every": settings.get("redraw_every", 0),
        "dropout": settings.get("dropout", 0.0),
    }


def load(folder: Path, settings: dict[str, Any], seed: int) -> Loaded:
    """Load an official folder: the weights (``panglao_pretrain.pth``) and the gene order.

    Parameters
    ----------
    folder
        Pre-trained or fine-tuned; a classifier in the file is left out (see :func:`load_head`).
    settings
        ``weights_file`` names the file where several are there; ``pool``, ``head``, ``stabilizer``, ``redraw_every``,
        ``dropout`` as the program's parameters.
    seed
        For the token logits, which fine-tuned files lack.

    Raises
    ------
    CheckpointError
        A file is missing, damaged or foreign, or backbone tensors do not fit (with the list).
    """
    from sceval.models.performer.checkpoint import find_weights, load_network, read_weights
    from sceval.models.scbert.network import N_TOKENS, ScBert
    from sceval.models.transformer.loading import Loaded

    folder = Path(folder)
    path = find_weights(folder, WEIGHTS, settings.get("weights_file", ""))
    network, report = load_network(
        ScBert,
        "scBERT",
        path,
        read_weights(path, HEADS),
        n_tokens=N_TOKENS,
        special_rows=1,
        behavior=_behavior(settings),
        use=_use(settings),
        seed=seed,
    )
    return Loaded(network, GeneList(read_gene_list(folder, ORDER, ASK, network.n_genes)), report)


def load_head(folder: Path, network: ScBert, weights_file: str = "") -> SlotHead:
    """Return the classifier of a fine-tuned file."""
    from sceval.models.performer.checkpoint import find_weights, head_from_tensors, read_weights

    path = find_weights(Path(folder), WEIGHTS, weights_file)
    return head_from_tensors(read_weights(path, HEADS), path, network.n_slots)


def read_label_dict(path: Path) -> list[str]:
    """Return the classes of a fine-tuned file from the ``label_dict`` beside it, a pickled array of names.

    Raises
    ------
    CheckpointError
        Damaged, another content, or a pickle that names anything but what an array needs.
    """
    from sceval.models.transformer.pickles import read_allowed_pickle

    allowed = ("numpy._core.multiarray._reconstruct", "numpy.ndarray")
    names = read_allowed_pickle(path, allowed)
    if getattr(names, "ndim", 1) != 1 or not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path}: expected a list of class names, found {type(names).__name__}")
    return [str(name) for name in names]


def new(genes: Genes, settings: dict[str, Any], seed: int) -> Loaded:
    """Make a network of the size in the settings with random weights; its gene vectors train.

    The official code starts from gene2vec; a dataset's genes have no such vectors here.
    """
    import torch

    from sceval.models.performer.checkpoint import build
    from sceval.models.performer.language_model import LanguageModelConfig
    from sceval.models.performer.network import PerformerConfig
    from sceval.models.scbert.network import N_TOKENS, ScBert
    from sceval.models.transformer.loading import Loaded

    vocabulary = GeneList.of(genes)
    sizes = {key: settings[key] for key in ("dim", "depth", "heads", "dim_head", "n_features")}
    stack = PerformerConfig(**sizes, **_behavior(settings))
    config = LanguageModelConfig(stack, N_TOKENS, len(vocabulary) + 1, **_use(settings, train_positions=True))
    network = build(ScBert, config, seed)
    with torch.no_grad():  # the trailing row as in the official table
        network.pos_emb.weight[-1] = 0.0
    return Loaded(network.eval(), vocabulary, None)


def save(folder: Path, network: ScBert, vocabulary: GeneList, head: SlotHead | None = None) -> None:
    """Write the official layout and the gene order; a classifier takes the place of the token logits."""
    from sceval.models.performer.checkpoint import write_weights

    back = {ours: official for official, ours in HEADS.items()}

    def rename(name: str) -> str:
        for ours, official in back.items():
            name = name.replace(ours, official) if name.startswith(ours) else name
        return name

    folder = Path(folder)
    write_weights(folder / WEIGHTS[-1], network, head=head, rename=rename)
    write_gene_list(folder / GENES, vocabulary.genes)


def known_genes(folder: Path) -> Iterable[str]:
    """Return the genes of a folder's gene order."""
    return read_gene_list(Path(folder), ORDER, ASK)
