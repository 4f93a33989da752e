"""The fixed gene list: 19,264 human symbols, whose order is the model's gene order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sceval.data.genes import Genes

GENE_LIST = "OS_scRNA_gene_index.19264.tsv"
WEIGHTS = "models.ckpt"
WHERE = (
    "the weights come from the link in the README of github.com/biomap-research/scFoundation (non-commercial licence); "
    f"the gene list {GENE_LIST} lies in its folder model/"
)


def find(folder: str | Path, name: str) -> Path:
    """Path of a file of the official layout: in the folder, or below ``model/`` and ``models/`` as upstream has them.

    Raises
    ------
    FileNotFoundError
        The file is not there; says where it is published.
    """
    folder = Path(folder)
    for place in (folder, folder / "models", folder / "model", folder / "model" / "models"):
        if (place / name).is_file():
            return place / name
    msg = f"{folder}: no {name}; an scFoundation folder holds {WEIGHTS} and {GENE_LIST}: {WHERE}"
    raise FileNotFoundError(msg)


class VocabularyError(ValueError):
    """A gene list cannot be used; the message says what was found and what would be right."""


@dataclass(frozen=True)
class Vocabulary:
    """Gene symbols in the order of the network's positions; two more positions hold target and source depth.

    Attributes
    ----------
    genes
        Symbols, each once.
    """

    genes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.genes)) != len(self.genes):
            raise VocabularyError(f"{len(self.genes) - len(set(self.genes))} genes of the list are there twice")

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def target_id(self) -> int:
        """Position of token T, the depth that is asked for."""
        return len(self.genes)

    @property
    def source_id(self) -> int:
        """Position of token S, the depth that the cell has."""
        return len(self.genes) + 1

    @property
    def pad_id(self) -> int:
        """Row of the gene table at padding (its last)."""
        return len(self.genes) + 2

    @cached_property
    def ids(self) -> dict[str, int]:
        """Position of each symbol."""
        return {name: i for i, name in enumerate(self.genes)}

    def lookup(self, genes: Genes | Sequence[str]) -> np.ndarray:
        """Position of each gene (int64), -1 where the list lacks it."""
        symbols = genes.symbols if isinstance(genes, Genes) else genes
        return np.array([self.ids.get(str(name), -1) for name in symbols], dtype=np.int64)

    @classmethod
    def read(cls, path: str | Path) -> Vocabulary:
        """Read the official file: a header ``gene_name, index``, then one gene a line, separated by tabs.

        Raises
        ------
        VocabularyError
            The file is of another kind, or its indices are not 0, 1, 2 ... in this order.
        """
        path = Path(path)
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip()]
        if not rows or rows[0][:2] != ["gene_name", "index"]:
            found = lines[0][:60] if lines else "nothing"
            raise VocabularyError(f"{path}: expected a header 'gene_name<tab>index', found {found!r}")
        for number, row in enumerate(rows[1:]):
            if len(row) < 2 or row[1].strip() != str(number):
                raise VocabularyError(f"{path}, line {number + 2}: expected a gene and index {number}, found {row}")
        return cls(tuple(row[0] for row in rows[1:]))

    def write(self, path: str | Path) -> None:
        """Write the official file."""
        rows = [f"{name}\t{i}" for i, name in enumerate(self.genes)]
        Path(path).write_text("\n".join(["gene_name\tindex", *rows]) + "\n", encoding="utf-8")
