"""Gene symbols to token ids: the word-level tokenizer of tGPT, read from its `tokenizer.json` as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sceval.data.genes import Genes
from sceval.models.transformer.problems import CheckpointError

TOKENIZER, TOKENIZER_CONFIG, SPECIALS_MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"

#: Role -> official spelling; the begin token really is `</b>`.
SPECIALS = {"pad_token": "<pad>", "bos_token": "</b>", "eos_token": "</s>", "unk_token": "<unk>"}

#: Placeholders of the official vocabulary that stand for no gene.
_PLACEHOLDER = re.compile(r"unused\d+|extra_id_\d+")
#: What the official pre-tokenizer makes of a line: words, and runs of punctuation.
_WORDS = re.compile(r"\w+|[^\w\s]+")
#: Left out by default, because the official rankings hold none of them (ribosomal, mitochondrial, two nuclear RNAs).
_EXCLUDED_PREFIXES, _EXCLUDED = ("RPL", "RPS", "MT_"), frozenset({"MALAT1", "NEAT1"})


def spelled(symbol: str) -> str:
    """Return a symbol as the model's rankings spell it: `-` and `.` become `_` (HLA-DRA -> HLA_DRA)."""
    return symbol.replace("-", "_").replace(".", "_")


def is_excluded(symbol: str) -> bool:
    """Whether a symbol (in any spelling and case) belongs to the genes that the official rankings lack."""
    name = spelled(symbol).upper()
    return name in _EXCLUDED or name.startswith(_EXCLUDED_PREFIXES)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens (case-sensitive words) and their ids.

    Attributes
    ----------
    ids
        Token -> id.
    specials
        Role (`pad_token`, `bos_token`, `eos_token`, `unk_token`) -> token.
    """

    ids: dict[str, int]
    specials: dict[str, str] = field(default_factory=lambda: dict(SPECIALS))

    def __post_init__(self) -> None:
        missing = [token for token in self.specials.values() if token not in self.ids]
        if missing:
            raise CheckpointError(
                f"the vocabulary has no token {', '.join(missing)}; tGPT needs pad, begin, end, unknown"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pad_id(self) -> int:
        """Id of padding."""
        return self.ids[self.specials["pad_token"]]

    @property
    def bos_id(self) -> int:
        """Id of the token in front of the genes."""
        return self.ids[self.specials["bos_token"]]

    @property
    def eos_id(self) -> int:
        """Id of the token behind the genes."""
        return self.ids[self.specials["eos_token"]]

    @property
    def unk_id(self) -> int:
        """Id of words that the vocabulary lacks."""
        return self.ids[self.specials["unk_token"]]

    def genes(self) -> list[str]:
        """Return the tokens that can stand for a gene, in order of their ids."""
        reserved = set(self.specials.values())
        ordered = sorted(self.ids, key=self.ids.__getitem__)
        return [token for token in ordered if token not in reserved and not _PLACEHOLDER.fullmatch(token)]

    def lookup(self, genes: Genes) -> np.ndarray:
        """Return the id of each gene (g,), -1 where the vocabulary lacks it."""
        known = {token: self.ids[token] for token in self.genes()}
        return np.array([known.get(spelled(symbol), -1) for symbol in genes.symbols], np.int64)

    def pieces(self, symbol: str) -> list[int]:
        """Return what the official tokenizer makes of a symbol: several ids where punctuation splits it."""
        return [self.ids.get(word, self.unk_id) for word in _WORDS.findall(spelled(symbol))]

    @classmethod
    def from_genes(cls, symbols: Iterable[str]) -> Vocabulary:
        """Make the vocabulary of a new model: the four special tokens, then the genes in the given order."""
        words = dict.fromkeys(spelled(symbol) for symbol in symbols if symbol)
        tokens = [*SPECIALS.values(), *(word for word in words if word not in SPECIALS.values())]
        return cls({token: i for i, token in enumerate(tokens)})

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        """Read `tokenizer.json` (and `special_tokens_map.json` where there is one) of a folder.

        Raises
        ------
        CheckpointError
            A file is damaged, or the tokenizer is of another kind than the official one.
        """
        path = folder / TOKENIZER
        content = read_json(path)
        model = content.get("model")
        ids = model.get("vocab") if isinstance(model, dict) else None
        kind = model.get("type", "WordLevel") if isinstance(model, dict) else None
        if not isinstance(ids, dict) or not ids or kind != "WordLevel":
            raise CheckpointError(
                f"{path}: expected a word-level tokenizer (model.type WordLevel, model.vocab token -> id), found type "
                f"{kind!r}; this is no tGPT tokenizer"
            )
        bad = [t for t, i in ids.items() if not isinstance(i, int) or isinstance(i, bool) or i < 0]
        if bad or len(set(ids.values())) != len(ids):
            what = f"{bad[0]!r} has no non-negative integer id" if bad else "two tokens share an id"
            raise CheckpointError(f"{path}: {what}")
        specials = dict(SPECIALS)
        if (folder / SPECIALS_MAP).is_file():
            told = read_json(folder / SPECIALS_MAP)
            specials |= {role: _content(told[role]) for role in SPECIALS if role in told}
        try:
            return cls(dict(ids), specials)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def write(self, folder: Path) -> None:
        """Write the three tokenizer files in the official structure."""
        roles = self.specials
        special = {roles[role]: self.ids[roles[role]] for role in SPECIALS}
        bos, eos = ({"SpecialToken": {"id": roles[role], "type_id": 0}} for role in ("bos_token", "eos_token"))
        first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": i, "special": True, "content": token, **flags} for token, i in special.items()],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [bos, first, eos],
                "pair": [first, second],
                "special_tokens": {token: {"id": token, "ids": [i], "tokens": [token]} for token, i in special.items()},
            },
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": self.ids, "unk_token": roles["unk_token"]},
        }
        config = {"model_max_length": 1024, **roles, "tokenizer_class": "PreTrainedTokenizerFast"}
        for name, value in ((TOKENIZER, content), (TOKENIZER_CONFIG, config), (SPECIALS_MAP, roles)):
            (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _content(token: Any) -> str:
    """Return the text of a special token; newer writers keep it in an object with flags."""
    return str(token["content"]) if isinstance(token, dict) else str(token)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
