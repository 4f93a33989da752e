"""Gene symbols to token ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sceval.data.genes import Genes

PAD, CLS, EOC = "<pad>", "<cls>", "<eoc>"
SPECIALS = (PAD, CLS, EOC)


class VocabularyError(ValueError):
    """The vocabulary file is not what it should be."""


@dataclass(frozen=True)
class Vocabulary:
    """A mapping from tokens (case-sensitive gene symbols and three specials) to ids 0 .. n - 1."""

    ids: dict[str, int]
    pad_token: str = PAD

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return self.ids[self.pad_token]

    @property
    def cls_id(self) -> int:
        """Id of the token that stands for the cell."""
        return self.ids[CLS]

    def lookup(self, genes: Genes | Iterable[str]) -> np.ndarray:
        """Return the id of each symbol, -1 where the vocabulary lacks it; specials are no genes and give -1."""
        symbols = genes.symbols if isinstance(genes, Genes) else genes
        reserved = {*SPECIALS, self.pad_token}
        return np.array([-1 if s in reserved else self.ids.get(s, -1) for s in symbols], dtype=np.int64)

    @classmethod
    def from_genes(cls, symbols: Sequence[str]) -> Vocabulary:
        """Make the vocabulary of a model trained from scratch: the dataset's genes, then the specials."""
        genes = [s for s in dict.fromkeys(map(str, symbols)) if s not in SPECIALS]
        return cls({token: i for i, token in enumerate([*genes, *SPECIALS])})

    @classmethod
    def of(cls, genes: Genes) -> Vocabulary:
        """Make the vocabulary of a dataset; genes without a symbol are left out."""
        return cls.from_genes([name for name in genes.symbols if name])

    @classmethod
    def read(cls, path: str | Path, pad_token: str = PAD) -> Vocabulary:
        """Read a ``vocab.json``; the order of its keys means nothing, missing specials are appended.

        Raises
        ------
        VocabularyError
            The file is no JSON object of distinct non-negative integers.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise VocabularyError(f"{path}: not a JSON file ({error})") from error
        if not isinstance(content, dict) or not content:
            raise VocabularyError(f"{path}: expected a JSON object token -> id, found {type(content).__name__}")
        bad = [t for t, i in content.items() if not isinstance(i, int) or isinstance(i, bool) or i < 0]
        if bad:
            raise VocabularyError(f"{path}: {len(bad)} tokens have no non-negative integer id, e.g. {bad[0]!r}")
        if len(set(content.values())) != len(content):
            raise VocabularyError(f"{path}: {len(content) - len(set(content.values()))} ids are used twice")
        ids = dict(content)
        for special in dict.fromkeys((pad_token, *SPECIALS)):
            # Upstream appends what is missing in this order, behind the largest id.
            ids.setdefault(special, max(ids.values()) + 1)
        return cls(ids, pad_token)

    def write(self, path: str | Path) -> None:
        """Write a ``vocab.json`` in id order."""
        ordered = dict(sorted(self.ids.items(), key=lambda item: item[1]))
        Path(path).write_text(json.dumps(ordered, indent=0), encoding="utf-8")
