"""One call of a verb: settings resolved, genes recognised, network loaded, cells tokenized, findings told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from sceval.data.gene_names import DUPLICATE, resolve
from sceval.data.genes import Genes
from sceval.models.genes import GENE_NAMES, kind_of, too_few
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.transformer import params
from sceval.models.transformer.loading import Loaded
from sceval.models.transformer.problems import NoKnownGenes

if TYPE_CHECKING:
    import scipy.sparse as sp
    import torch

    from sceval.contract.rows import CsrRows
    from sceval.models.transformer.protocol import Tokens

Resolver = Callable[[str, str, Mapping[str, Any], str], dict[str, Any]]
"""From verb, regime, given parameters and device (`cpu`, `cuda`) to all settings."""


@dataclass(frozen=True)
class Transformer:
    """A model as the shared verbs see it.

    Attributes
    ----------
    info
        What `sceval-model info` prints.
    package
        Its package, `__package__` of its `program.py`; `tokens` and `checkpoint` are imported when a verb needs them.
    recipes
        Values of parameters that were left at their default, by verb and by (verb, regime); see `params.resolve`.
    resolver
        In place of `recipes`, where a model fills in its settings in its own way.
    """

    info: Info
    package: str
    recipes: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    resolver: Resolver | None = None

    def settings(self, verb: str, regime: str, given: Mapping[str, Any], device: str) -> dict[str, Any]:
        """Return every parameter with its recipe filled in, and `verb`, `regime`, `device`."""
        if self.resolver is not None:
            out = self.resolver(verb, regime, given, device)
        else:
            out = params.resolve(self.info.params, self.recipes, verb, regime, given)
        return {**out, "verb": verb, "regime": regime, "device": device}

    def module(self, name: str) -> Any:
        """Import `tokens` or `checkpoint` of the model."""
        return import_module(f"{self.package}.{name}")


@dataclass
class Session:
    """What a verb works with.

    Attributes
    ----------
    model
        The model.
    counts
        Raw counts, cells x genes (CSR), columns sorted by gene id, so that nothing depends on the order of the file;
        in `embed-cells` perhaps rows that stay in the file (`contract.rows.CsrRows`).
    genes, gene_ids, columns
        Names of the columns, their ids and their positions in the view.
    cell_ids
        Ids of the rows, in the order of the view.
    settings
        See `Transformer.settings`.
    seed
        Seed of everything random.
    weights
        Folder of the weights; None = random weights.
    place
        Device.
    facts, warnings
        Filled in on the way; those of the request.
    """

    model: Transformer
    counts: sp.csr_matrix | CsrRows
    genes: Genes
    gene_ids: np.ndarray
    columns: np.ndarray
    cell_ids: list[str]
    settings: dict[str, Any]
    seed: int
    weights: Path | None
    place: torch.device
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: Transformer, verb: str, request: Request) -> Session:
        """Make the session of a request."""
        from sceval.training.device import choose_device

        try:
            place = choose_device(request.device)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from error
        view = request.view
        order = np.argsort(view.var_names.astype(str), kind="stable")
        genes = Genes.of(view)
        genes = Genes([genes.symbols[i] for i in order], [genes.ensembl[i] for i in order], genes.organism)
        settings = model.settings(verb, request.regime, request.params, place.type)
        request.facts.update(device=place.type, params_used=settings)
        return cls(
            model=model,
            counts=view.X if (np.diff(order) == 1).all() else view.X[:, order],
            genes=genes,
            gene_ids=view.var_names[order],
            columns=order,
            cell_ids=[str(name) for name in view.obs_names],
            settings=settings,
            seed=request.seed,
            weights=None if request.regime == "scratch" else request.weights,
            place=place,
            facts=request.facts,
            warnings=request.warnings,
        )

    @cached_property
    def named(self) -> Genes:
        """Genes as the model's vocabulary names them, where another name of the same gene is known (HGNC, Ensembl).

        What was replaced or left out is told. A model from scratch makes its vocabulary of the names as they are.
        """
        if self.weights is None:
            return self.genes
        known = list(self.model.module("checkpoint").known_genes(self.weights))
        kind = kind_of(self.model.info.gene_ids)
        exact = self.settings.get(GENE_NAMES.name) == "exact"
        found = resolve(self.genes, known, kind, exact_only=exact)
        self.facts["genes_found"] = found.counts()
        self.warnings.extend(found.warnings())
        # What was found by no rule keeps its name: a model may spell names in a way of its own.
        left_out = {DUPLICATE, "ambiguous", "date"}
        own = self.genes.symbols if kind == "symbol" else self.genes.ensembl
        names = [
            name if name is not None else None if how in left_out else text
            for name, how, text in zip(found.names, found.how, own, strict=True)
        ]
        if kind == "symbol":
            return replace(self.genes, symbols=[name or "" for name in names])
        symbols = ["" if how in left_out else text for how, text in zip(found.how, self.genes.symbols, strict=True)]
        return replace(self.genes, symbols=symbols, ensembl=names)

    @cached_property
    def loaded(self) -> Loaded:
        """Network on the device, vocabulary and report; too few known genes end here.

        Raises
        ------
        NotApplicable
            The share of known genes lies below `info.min_genes_recognised`; the share is in the reason.
        NoKnownGenes
            None is known.
        CheckpointError
            The checkpoint is unfit.
        """
        module = self.model.module("checkpoint")
        if self.weights is None:
            return self.adopt(module.new(self.genes, self.settings, self.seed))
        return self.adopt(module.load(self.weights, self.settings, self.seed))

    def adopt(self, loaded: Loaded) -> Loaded:
        """Take a network that a verb of the model's own has loaded with other parts; else as `loaded`."""
        self.__dict__["loaded"] = loaded
        self._check_genes(loaded.vocabulary.lookup(self.named))
        if loaded.report is not None:
            self.facts["weights_loaded"] = loaded.report.as_dict()
            self.facts["weights_sha256"] = loaded.report.sha256()
            self.warnings.extend(loaded.report.notes)
        loaded.network.to(self.place).eval()
        return loaded

    @property
    def token_ids(self) -> np.ndarray:
        """Token id of each column, -1 where the model does not know the gene."""
        return self.loaded.vocabulary.lookup(self.named)

    def _check_genes(self, ids: np.ndarray) -> None:
        share = float((ids >= 0).mean()) if ids.size else 0.0
        self.facts["genes_recognised"] = round(share, 6)
        first = next((name for name in self.genes.symbols if name), "")
        if reason := too_few(share, ids.size, self.model.info.min_genes_recognised):
            raise NotApplicable(f"{reason} (first gene here: {first!r}){_hint(first)}")
        if not share:
            raise NoKnownGenes(f"the model knows none of the {ids.size} genes (first gene: {first!r}){_hint(first)}")
        if share < 0.5:
            self.warnings.append(f"only {share:.1%} of the {ids.size} genes are known to the model")

    def tokenize(self, rows: np.ndarray | None = None, fit_rows: np.ndarray | None = None) -> Tokens:
        """Tokenize all cells, or the given rows; findings go into facts and warnings.

        Parameters
        ----------
        rows
            Rows to tokenize, in this order: row i of the tokens is `rows[i]`. All by default.
        fit_rows
            Positions among these rows that may decide anything fitted (training cells).
        """
        counts = self.counts if rows is None else self.counts[rows]
        ids = self.cell_ids if rows is None else [self.cell_ids[i] for i in rows]
        tokens = self.model.module("tokens").tokenize(
            counts, self.named, ids, self.loaded.vocabulary, self.settings, self.seed, fit_rows=fit_rows
        )
        self.facts.update(tokens.notes)
        self.warnings.extend(tokens.warnings)
        return tokens

    @classmethod
    def of_arrays(
        cls,
        model: Transformer,
        verb: str,
        regime: str,
        counts: sp.csr_matrix,
        genes: Genes,
        cell_ids: Sequence[str],
        *,
        weights: Path | None = None,
        given: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> Session:
        """Make a session of arrays, columns as they are; `given` are parameters, for the rest see the attributes."""
        from sceval.training.device import choose_device

        place = choose_device(device)
        return cls(
            model=model,
            counts=counts,
            genes=genes,
            gene_ids=np.array([f"gene{i}" for i in range(len(genes))], object),
            columns=np.arange(len(genes)),
            cell_ids=[str(name) for name in cell_ids],
            settings=model.settings(verb, regime, given or {}, place.type),
            seed=seed,
            weights=weights,
            place=place,
        )

    def tell_unusable(self, usable: np.ndarray, what: str) -> None:
        """Record the cells without any known gene; `what` says what becomes of them."""
        empty = np.flatnonzero(~usable)
        self.facts["cells_without_known_gene"] = int(empty.size)
        if empty.size:
            self.warnings.append(
                f"{empty.size} cells express no gene that the model uses and {what}; first: {self.cell_ids[empty[0]]}"
            )

    def tell_device(self) -> None:
        """Record the peak of GPU memory."""
        if self.place.type == "cuda":
            import torch

            self.facts["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)


def _hint(first: str) -> str:
    if first.startswith("ENS"):
        return "; these look like Ensembl ids"
    return "; these look like mouse symbols" if first[1:2].islower() else ""
