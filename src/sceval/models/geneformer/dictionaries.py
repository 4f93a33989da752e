"""The official dictionaries: which token, which median, which current id a gene has; found, read and checked.

Upstream takes whatever file it is given: with the dictionaries of the other version, or with the medians in place of
the tokens, it runs and gives nonsense. Here the dictionaries must fit the model and each other.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sceval.models.transformer.pickles import read_allowed_pickle
from sceval.models.transformer.problems import CheckpointError

TOKENS, MEDIANS, NAMES, MAPPING = (
    "token_dictionary",
    "gene_median_dictionary",
    "gene_name_id_dict",
    "ensembl_mapping_dict",
)
PAD, MASK, CLS, EOS = "<pad>", "<mask>", "<cls>", "<eos>"
SPECIALS = (PAD, MASK, CLS, EOS)
PLACES = ("", "geneformer", "gene_dictionaries_30m", "geneformer/gene_dictionaries_30m")
"""Where dictionaries lie in the official repository, seen from a model folder, its parent, or that one's."""
LEAST_MAPPED = 0.95
"""Share of token genes that the id mapping must reach; that of the other version reaches fewer."""


@dataclass(frozen=True)
class Dictionaries:
    """Contents of one set of dictionary files.

    Attributes
    ----------
    tokens
        Ensembl id or special token -> token id.
    medians
        Ensembl id -> median of its non-zero normalized counts in the pre-training corpus, above 0.
    mapping
        Upper-case Ensembl id (former and current) or symbol -> current Ensembl id; None where the set has none.
    names
        Symbol -> Ensembl id; empty where the set has none.
    suffix
        Version in the file names (`gc30M`, `gc104M`); empty where there is none.
    notes
        Warnings.
    """

    tokens: dict[str, int]
    medians: dict[str, float]
    mapping: dict[str, str] | None = None
    names: dict[str, str] = field(default_factory=dict)
    suffix: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DictionarySet:
    """Files of one version in one folder: stem (`token_dictionary`) to path."""

    folder: Path
    suffix: str
    files: dict[str, Path]


def _sets(folder: Path) -> Iterator[DictionarySet]:
    """Yield the sets of a folder that have a token dictionary; the others' files go into the messages alone."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.pkl")):
        for stem in (TOKENS, MEDIANS, NAMES, MAPPING):
            if match := re.fullmatch(rf"{stem}(?:_(\w+))?\.pkl", path.name):
                found.setdefault(match[1] or "", {})[stem] = path
    for suffix, files in found.items():
        if TOKENS in files:
            yield DictionarySet(folder, suffix, files)


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _read_map(path: Path, what: str, good: type) -> dict[str, Any]:
    """Read a dictionary from text to text, or to numbers."""
    content = read_allowed_pickle(path)
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        kind = "an empty dictionary" if content == {} else type(content).__name__
        raise CheckpointError(f"{path}: expected {what}, found {kind}")
    for key, value in content.items():
        if not (isinstance(value, str) if good is str else _number(value)):
            raise CheckpointError(f"{path}: expected {what}, found {value!r} ({type(value).__name__}) for {key!r}")
    return content


def read_tokens(path: Path) -> dict[str, int]:
    """Read a token dictionary.

    Raises
    ------
    CheckpointError
        It holds medians, lacks `<pad>` or `<mask>`, or two genes share a token.
    """
    content = _read_map(path, "a token dictionary (Ensembl id -> whole number)", float)
    if not all(isinstance(value, Integral) for value in content.values()):
        raise CheckpointError(
            f"{path}: its values are no whole numbers (first: {next(iter(content.values()))}), so this is the gene "
            "median dictionary in place of the token dictionary; some packages ship it under that name. Take "
            "token_dictionary_*.pkl of the official repository"
        )
    if PAD not in content or MASK not in content:
        raise CheckpointError(f"{path}: no {PAD} and {MASK} among its tokens; this is no Geneformer token dictionary")
    tokens = {key: int(value) for key, value in content.items()}
    if sorted(tokens.values()) != list(range(len(tokens))):
        raise CheckpointError(f"{path}: {len(tokens)} tokens, but their ids are not 0 to {len(tokens) - 1}, each once")
    return tokens


def read_medians(path: Path) -> dict[str, float]:
    """Read a median dictionary; refuses a token dictionary, and medians that are not above 0."""
    content = _read_map(path, "a gene median dictionary (Ensembl id -> number above 0)", float)
    if PAD in content:
        raise CheckpointError(f"{path}: it has {PAD}, so this is a token dictionary in place of the gene medians")
    medians = {key: float(value) for key, value in content.items()}
    bad = [key for key, value in medians.items() if not 0 < value < float("inf")]
    if bad:
        raise CheckpointError(f"{path}: {len(bad)} medians are not above 0, the first is {bad[0]}: {medians[bad[0]]}")
    return medians


def find_set(folder: Path, n_tokens: int) -> DictionarySet:
    """Find the dictionaries of a model: beside it, then where the official repository keeps them above it.

    The nearest folder with a token dictionary counts; where it has those of both versions, those of the model's size.

    Raises
    ------
    CheckpointError
        None found, or none of the model's size.
    """
    folder = folder.resolve()
    for level in (folder, folder.parent, folder.parent.parent):
        sets = [found for place in PLACES for found in _sets(level / place)]
        sizes = [len(read_tokens(found.files[TOKENS])) for found in sets]
        if n_tokens in sizes:
            return sets[sizes.index(n_tokens)]
        if sets:
            listed = "; ".join(f"{s.files[TOKENS]} has {size}" for s, size in zip(sets, sizes, strict=True))
            raise CheckpointError(
                f"{folder}: the model has {n_tokens} tokens, and {listed}: these dictionaries belong to another "
                "version (V1: *_gc30M.pkl, 25,426 tokens; V2: *_gc104M.pkl, 20,275 tokens)"
            )
    raise CheckpointError(
        f"{folder}: no {TOKENS}*.pkl there or in {', '.join(PLACES[1:])} beside it or above it. Put the dictionaries "
        "of the official repository (ctheodoris/Geneformer) next to the model: for V1 those of "
        "geneformer/gene_dictionaries_30m, for V2 geneformer/*_gc104M.pkl"
    )


def read_set(found: DictionarySet) -> Dictionaries:
    """Read and check one set.

    Raises
    ------
    CheckpointError
        A file is absent, damaged, in another's place, or of another version than the token dictionary.
    """
    tokens = read_tokens(found.files[TOKENS])
    if MEDIANS not in found.files:
        others = ", ".join(path.name for path in sorted(found.folder.glob(f"{MEDIANS}*.pkl"))) or "none"
        raise CheckpointError(
            f"{found.folder}: {found.files[TOKENS].name} needs {MEDIANS}{'_' * bool(found.suffix)}{found.suffix}.pkl "
            f"of the same version beside it; gene medians there: {others}"
        )
    medians = read_medians(found.files[MEDIANS])
    genes = [gene for gene in tokens if gene not in SPECIALS]
    absent = [gene for gene in genes if gene not in medians]
    if absent:
        raise CheckpointError(
            f"{found.files[MEDIANS]}: no median for {len(absent)} of {len(genes)} genes of {found.files[TOKENS].name} "
            f"(first: {absent[0]}); the two files belong to different versions"
        )
    mapping, notes = None, []
    if MAPPING in found.files:
        mapping = _read_map(found.files[MAPPING], "an id mapping (id or symbol -> Ensembl id)", str)
        reached = set(mapping.values())
        lost = [gene for gene in genes if gene not in reached]
        if len(lost) > (1 - LEAST_MAPPED) * len(genes):
            raise CheckpointError(
                f"{found.files[MAPPING]}: it leads to none of {len(lost)} of the {len(genes)} genes of "
                f"{found.files[TOKENS].name} (first: {lost[0]}); the two files belong to different versions"
            )
        if lost:
            notes.append(f"{found.files[MAPPING].name} does not lead to {len(lost)} of the model's {len(genes)} genes")
    names = {}
    if NAMES in found.files:
        names = _read_map(found.files[NAMES], "a name dictionary (symbol -> Ensembl id)", str)
    return Dictionaries(tokens, medians, mapping, names, found.suffix, tuple(notes))


def write_dictionaries(folder: Path, content: Dictionaries) -> list[str]:
    """Write the files of a set with plain text and numbers (any Python reads them); return their names."""
    end = f"_{content.suffix}.pkl" if content.suffix else ".pkl"
    parts = {TOKENS: content.tokens, MEDIANS: content.medians, NAMES: content.names, MAPPING: content.mapping}
    written = []
    for stem, part in parts.items():
        if part:
            (folder / f"{stem}{end}").write_bytes(pickle.dumps(dict(part), protocol=4))
            written.append(f"{stem}{end}")
    return written
