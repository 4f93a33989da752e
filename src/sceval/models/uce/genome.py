"""Where the genes of each species stand: in the token table, and on which chromosome."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sceval.data.genes import Genes
from sceval.models.transformer.loading import read_allowed_pickle, require_files
from sceval.models.transformer.problems import CheckpointError
from sceval.models.uce.names import read_names

CHROMOSOMES, OFFSETS, PROTEINS = "species_chrom.csv", "species_offsets.pkl", "protein_embeddings"
COLUMNS = ("gene_symbol", "chromosome", "start", "species")

#: Species -> begin of the name of its protein file.
LATIN = {
    "human": "Homo_sapiens",
    "mouse": "Mus_musculus",
    "frog": "Xenopus_tropicalis",
    "zebrafish": "Danio_rerio",
    "mouse_lemur": "Microcebus_murinus",
    "pig": "Sus_scrofa",
    "macaca_fascicularis": "Macaca_fascicularis",
    "macaca_mulatta": "Macaca_mulatta",
}
#: Rows of the published token table, and where its chromosome tokens begin.
OFFICIAL_ROWS, OFFICIAL_CHROMOSOME_OFFSET = 145_469, 143_574

PAD, RIGHT, CLS = 0, 2, 3
"""Rows of the token table: padding, end of a chromosome, cell. Row 1 (begin of a chromosome) is never used."""


def protein_file(folder: Path, species: str) -> Path | None:
    """Return the protein file of a species, or None where the folder has none.

    Raises
    ------
    CheckpointError
        Several files fit.
    """
    found = sorted(
        path
        for place in (folder / PROTEINS, folder)
        for path in place.glob(f"{LATIN[species]}.*gene_symbol_to_embedding_ESM2.pt")
    )
    if len(found) > 1:
        raise CheckpointError(f"{folder}: {len(found)} protein files for {species}: {', '.join(p.name for p in found)}")
    return found[0] if found else None


@dataclass(frozen=True)
class Place:
    """A gene: row of the token table, code of its chromosome, start on it."""

    token: int
    chromosome: int
    start: int


@dataclass(frozen=True)
class Vocabulary:
    """Genes of all species that have a protein file.

    Attributes
    ----------
    genes
        Species -> symbol in upper case -> place.
    chromosome_offset
        Row of the token table at which the chromosome tokens begin.
    unplaced
        Species -> symbols with a protein vector that `species_chrom.csv` does not place.
    """

    genes: dict[str, dict[str, Place]]
    chromosome_offset: int
    unplaced: dict[str, set[str]] = field(default_factory=dict)

    def species(self, organism: str) -> dict[str, Place]:
        """Return the genes of a species.

        Raises
        ------
        CheckpointError
            The folder has no protein file of the species.
        """
        if organism not in self.genes:
            raise CheckpointError(
                f"no protein file for {organism}: {PROTEINS}/{LATIN.get(organism, organism)}.*"
                f"gene_symbol_to_embedding_ESM2.pt of the official archive is needed for the order of its genes "
                f"(there are files for {', '.join(sorted(self.genes)) or 'no species'})"
            )
        return self.genes[organism]

    def lookup(self, genes: Genes) -> np.ndarray:
        """Return the token of each gene (g,), -1 where the species has none of that symbol, whatever its case."""
        known = self.species(genes.organism)
        places = (known.get(symbol.upper()) for symbol in genes.symbols)
        return np.array([-1 if place is None else place.token for place in places], np.int64)

    def places(self, genes: Genes) -> tuple[np.ndarray, np.ndarray]:
        """Return chromosome code and start of each gene (g,), -1 where it is unknown."""
        known, nowhere = self.species(genes.organism), Place(-1, -1, -1)
        found = [known.get(symbol.upper(), nowhere) for symbol in genes.symbols]
        return np.array([p.chromosome for p in found], np.int64), np.array([p.start for p in found], np.int64)


def read_offsets(path: Path) -> dict[str, int]:
    """Return the row of the token table at which the genes of each species begin."""
    content = read_allowed_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(k, str) and isinstance(v, int) for k, v in content.items()):
        raise CheckpointError(f"{path}: expected a dictionary species -> row of the token table")
    return content


def read_chromosomes(path: Path) -> tuple[dict[str, dict[str, tuple[int, int]]], int]:
    """Return species -> symbol in upper case -> (chromosome code, start), and the number of chromosomes.

    The code of a chromosome is its rank among the sorted names `species_chromosome` of all species of the file, so a
    shortened file gives other tokens.
    """
    with path.open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise CheckpointError(f"{path}: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}")
        lines = list(rows)
    codes = {name: i for i, name in enumerate(sorted({f"{r['species']}_{r['chromosome']}" for r in lines}))}
    out: dict[str, dict[str, tuple[int, int]]] = {}
    for number, row in enumerate(lines, start=2):
        try:
            start = int(float(row["start"]))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path}, line {number}: start is {row['start']!r}; expected a number") from error
        place = (codes[f"{row['species']}_{row['chromosome']}"], start)
        out.setdefault(row["species"], {}).setdefault(row["gene_symbol"].upper(), place)
    return out, len(codes)


def read_vocabulary(folder: Path, n_rows: int, chromosome_offset: int = 0) -> Vocabulary:
    """Read the tables of an official folder.

    Parameters
    ----------
    folder
        With species_chrom.csv, species_offsets.pkl and protein_embeddings/.
    n_rows
        Rows of the checkpoint's token table.
    chromosome_offset
        Row at which the chromosome tokens begin; 0 = worked out: the published one for the published table, else the
        end of the last species' genes.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or the files do not belong together.
    """
    require_files(
        folder, (CHROMOSOMES, OFFSETS), f"UCE needs {CHROMOSOMES}, {OFFSETS} and {PROTEINS}/ beside the checkpoint"
    )
    offsets = read_offsets(folder / OFFSETS)
    chromosomes, n_chromosomes = read_chromosomes(folder / CHROMOSOMES)
    names = {s: read_names(path) for s in LATIN if s in offsets and (path := protein_file(folder, s)) is not None}
    ends = {s: min((o for o in offsets.values() if o > offsets[s]), default=n_rows) for s in offsets}
    for species, symbols in names.items():
        if offsets[species] + len(symbols) > ends[species]:
            raise CheckpointError(
                f"{folder}: the protein file of {species} has {len(symbols)} genes, {OFFSETS} leaves room for "
                f"{ends[species] - offsets[species]}; the files belong to different releases"
            )
    begin = chromosome_offset or _chromosome_begin(folder, offsets, names, n_rows)
    if begin + n_chromosomes > n_rows:
        raise CheckpointError(
            f"{folder}: {CHROMOSOMES} names {n_chromosomes} chromosomes, the token table has {n_rows - begin} rows for "
            f"them (from row {begin} of {n_rows}); the files belong to different releases"
        )
    genes: dict[str, dict[str, Place]] = {}
    unplaced: dict[str, set[str]] = {}
    for species, symbols in names.items():
        placed = chromosomes.get(species, {})
        # As upstream counts: symbols that differ by case alone are one, and those behind it move up.
        order = {symbol: i for i, symbol in enumerate(dict.fromkeys(symbol.upper() for symbol in symbols))}
        genes[species] = {s: Place(offsets[species] + i, *placed[s]) for s, i in order.items() if s in placed}
        unplaced[species] = set(order) - set(placed)
    return Vocabulary(genes, begin, unplaced)


def _chromosome_begin(folder: Path, offsets: dict[str, int], names: dict[str, list[str]], n_rows: int) -> int:
    if n_rows == OFFICIAL_ROWS:
        return OFFICIAL_CHROMOSOME_OFFSET
    last = max(offsets, key=offsets.__getitem__)
    if last not in names:
        raise CheckpointError(
            f"{folder}: the token table has {n_rows} rows, not the {OFFICIAL_ROWS} of the published one, so the "
            f"chromosome tokens begin behind the genes of {last}, whose protein file is missing; add it, or set the "
            "parameter chromosome_offset"
        )
    return offsets[last] + len(names[last])


def known_genes(folder: Path) -> list[str]:
    """Return the symbols of the human and mouse protein files as they stand, and in upper case."""
    out: dict[str, None] = {}
    for species in ("human", "mouse"):
        if (path := protein_file(Path(folder), species)) is not None:
            symbols = read_names(path)
            out |= dict.fromkeys(symbols)
            if species == "human":
                out |= dict.fromkeys(symbol.upper() for symbol in symbols)
    return list(out)
