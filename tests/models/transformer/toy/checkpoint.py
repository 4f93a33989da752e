"""A folder with `genes.txt` and `model.safetensors`."""

from __future__ import annotations

from sceval.models.transformer import loading

from .tokens import Vocabulary

GENES, WEIGHTS = "genes.txt", "model.safetensors"


def known_genes(folder):
    loading.require_files(folder, [GENES], "a toy checkpoint")
    return (folder / GENES).read_text().split()


def load(folder, settings, seed):
    import torch

    from .network import Config, Toy

    loading.require_files(folder, [GENES, WEIGHTS], "a toy checkpoint")
    vocabulary = Vocabulary(known_genes(folder))
    tensors = loading.read_state_dict(folder / WEIGHTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = tensors["genes.weight"].shape[1] if "genes.weight" in tensors else settings["width"]
        network = Toy(Config(len(vocabulary.symbols), width, dropout=settings["dropout"]))
    report = loading.fill(network, tensors, where=folder, files=[folder / WEIGHTS])
    return loading.Loaded(network, vocabulary, report)


def new(genes, settings, seed):
    import torch

    from .network import Config, Toy

    vocabulary = Vocabulary(dict.fromkeys(name for name in genes.symbols if name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Toy(Config(len(vocabulary.symbols), settings["width"], dropout=settings["dropout"]))
    return loading.Loaded(network, vocabulary)


def save(folder, network, vocabulary):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GENES).write_text("\n".join(vocabulary.symbols))
    loading.write_safetensors(folder / WEIGHTS, network.state_dict())
