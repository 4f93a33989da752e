"""Gene order files: what a model whose positions are genes was trained with, in that order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from sceval.data.genes import Genes
from sceval.models.transformer.problems import CheckpointError


@dataclass(frozen=True)
class GeneList:
    """Genes in the order of the model's positions.

    Attributes
    ----------
    genes
        Symbol of each position, from 0.
    max_length
        Positions of a padded sequence, for models that pad; 0 where nothing is padded.
    """

    genes: tuple[str, ...]
    max_length: int = 0

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def ids(self) -> dict[str, int]:
        """Position of each gene; the first one where a list has a symbol twice."""
        return {gene: place for place, gene in reversed(list(enumerate(self.genes)))}

    def lookup(self, genes: Genes) -> np.ndarray:
        """Return the position (int64) of each gene, by its exact name, -1 where the list lacks it."""
        ids = self.ids
        return np.array([ids.get(name, -1) for name in _names(genes)], np.int64)

    @classmethod
    def of(cls, genes: Genes, max_length: int = 0) -> GeneList:
        """Make the list of a model trained from scratch: the genes of a dataset, each once."""
        return cls(tuple(dict.fromkeys(name for name in _names(genes) if name)), max_length)


def _names(genes: Genes) -> list[str]:
    return [symbol or ensembl or "" for symbol, ensembl in zip(genes.symbols, genes.ensembl, strict=True)]


def _read_text(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: no text file in UTF-8 ({error.reason}); expected one symbol a line") from error
    genes = [line.strip() for line in lines]
    while genes and not genes[-1]:
        genes.pop()
    bad = next((n for n, gene in enumerate(genes, 1) if not gene or len(gene.split()) > 1), None)
    if bad is not None:
        raise CheckpointError(f"{path}, line {bad}: {genes[bad - 1]!r} is no gene symbol; expected one symbol a line")
    return genes


def _read_h5ad(path: Path) -> list[str]:
    """Names of the variables, in the layout of any anndata version."""
    import h5py

    from sceval.contract.h5ad import read_frame

    try:
        with h5py.File(path) as handle:
            var = handle["var"]
            if isinstance(var, h5py.Dataset):  # one compound table, anndata before 0.7
                names = var["index" if "index" in var.dtype.names else var.dtype.names[0]]
                return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
            return [str(name) for name in read_frame(var)[0]]
    except (OSError, KeyError) as error:
        raise CheckpointError(f"{path}: not a readable .h5ad file with var names ({error})") from error


def read_gene_list(folder: Path, patterns: Sequence[str], ask: str, size: int | None = None) -> tuple[str, ...]:
    """Find the gene order in a folder and read it.

    Parameters
    ----------
    folder
        Folder of the weights.
    patterns
        Names of files that hold the order, `*` allowed, upper and lower case alike: `.h5ad` (var names) or text (one
        symbol a line).
    ask
        Said where there is none: which file, why, where it is published.
    size
        Genes that the weights have; not checked where None.

    Raises
    ------
    CheckpointError
        No such file, an unreadable one, two that disagree, or another number of genes than the weights have.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    found = [path for path in files if any(fnmatch(path.name.lower(), pattern) for pattern in patterns)]
    if not found:
        raise CheckpointError(f"{folder}: no gene order. {ask}")
    lists = {path: tuple(_read_h5ad(path) if path.suffix == ".h5ad" else _read_text(path)) for path in found}
    if size is not None:
        fitting = {path: genes for path, genes in lists.items() if len(genes) == size}
        if not fitting:
            counts = ", ".join(f"{path.name}: {len(genes)}" for path, genes in lists.items())
            raise CheckpointError(f"{folder}: the weights have {size} genes, the gene order another number ({counts})")
        lists = fitting
    first = next(iter(lists))
    for path, genes in lists.items():
        if genes != lists[first]:
            place = next((i for i, (a, b) in enumerate(zip(genes, lists[first], strict=False)) if a != b), -1)
            raise CheckpointError(
                f"{folder}: {first.name} and {path.name} give different gene orders (first at position {place}); keep "
                "the one that belongs to the weights"
            )
    return lists[first]


def write_gene_list(path: Path, genes: Iterable[str]) -> None:
    """Write one symbol a line."""
    path.write_text("".join(f"{gene}\n" for gene in genes), encoding="utf-8")
