"""All metrics of batch integration for one embedding: shared things once, values, per-cell values, replicates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sceval.metrics import agreement, graph, pcr, silhouette
from sceval.metrics.blas import one_blas_thread
from sceval.metrics.clustering import Clusterings, Sweep
from sceval.metrics.coding import encode
from sceval.metrics.composite import BATCH_PARTS, BIO_PARTS, composite_scores, isolated_labels, mean_defined
from sceval.metrics.geometry import neighbor_overlap
from sceval.metrics.kbet import acceptance, label_tests
from sceval.metrics.lisi import scale_mixing, scale_purity
from sceval.metrics.space import Space
from sceval.metrics.within_label import cilisi_samples, kbet_samples, label_kernels

#: Ids in the order of the tables; see registry.py for what each is.
IDS = (
    "nmi", "ari", "asw_label", "asw_batch", "pcr", "gc_scib", "gc_knn", "ilisi_knn", "ilisi_graph", "clisi_knn",
    "clisi_graph", "kbet_label", "kbet50", "isolated_asw", "isolated_f1", "bras", "cilisi",
    "knn_overlap", "s_bio", "s_batch", "s_final",
)  # fmt: skip
#: The sentence for a dataset without a batch effect.
NO_BATCH_EFFECT = (
    "PCR undefined: batch explains {before:.4f} of the variance before integration, under the 95th percentile "
    "{limit:.4f} of its own permutations: there is nothing to remove; S_batch and S_final are means over the rest "
    "(partial)"
)
_NAN = float("nan")


class IntegrationScorer:
    """Metrics of one embedding against batches and labels.

    Parameters
    ----------
    X
        Embedding under test, cells x dimensions.
    batch
        Batch of each cell; none may be missing.
    label
        Cell type of each cell. Cells without one (None, NaN) are used for the metrics that need none (iLISI, kBET 50,
        PCR), left out of the rest, and counted in ``findings``.
    pre
        Unintegrated principal components of the same cells; without them PCR is undefined.
    cluster_rule
        ``study``, ``scib`` or ``fixed``, see clustering.py.
    seed
        Seed of the clusterings and of the permutations of the PCR test.

    Raises
    ------
    ValueError
        On lengths that differ, a missing batch or values that are not finite.
    """

    def __init__(self, X, batch, label, pre=None, cluster_rule: str = "study", seed: int = 0) -> None:
        self._set_cells(X, batch, label, pre)
        self.cluster_rule, self.seed = cluster_rule, seed
        self._clusters: Clusterings | None = None
        self._reset()

    def _set_cells(self, X, batch, label, pre) -> None:
        self.all = Space(X)
        self.n = self.all.n
        self.batches, self.batch_names = encode(batch)
        labels, self.label_names = encode(label)
        self.pre = None if pre is None else np.asarray(pre)
        for name, length in (("batch", len(self.batches)), ("label", len(labels)), ("pre", self._pre_rows())):
            if length != self.n:
                raise ValueError(f"{name} has {length} entries, the embedding {self.n} cells")
        if self.n < 3:
            raise ValueError(f"an embedding of {self.n} cells cannot be scored; at least 3 are needed")
        if (self.batches < 0).any():
            row = int(np.flatnonzero(self.batches < 0)[0])
            raise ValueError(f"the batch of {int((self.batches < 0).sum())} cells is missing, the first in row {row}")
        self.has_label = labels >= 0
        self.labels = labels[self.has_label]
        self.label_batches = self.batches[self.has_label]
        # With every cell labelled both sets are the same object, so there is one neighbour search.
        self.labelled = self.all if self.has_label.all() else Space(self.all.X[self.has_label])

    def _pre_rows(self) -> int:
        return self.n if self.pre is None else len(self.pre)

    def _reset(self) -> None:
        self._cells: dict[str, np.ndarray] = {}
        self._values: dict[str, float] | None = None
        self._findings: list[str] = []

    def with_batches(self, batch) -> IntegrationScorer:
        """The same embedding and labels with other batches; neighbours and clusterings are shared.

        For anchors from permuted batches: nothing that does not depend on the batch is computed again.
        """
        self.values()
        other = object.__new__(IntegrationScorer)
        other.__dict__.update(self.__dict__)
        other.batches, other.batch_names = encode(batch)
        if len(other.batches) != self.n or (other.batches < 0).any():
            raise ValueError(f"batches must be given for all {self.n} cells")
        other.label_batches = other.batches[self.has_label]
        other._reset()
        return other

    # -- shared parts ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Compute what the values, the per-cell values and the replicates are read from."""
        space, labels, batches = self.labelled, self.labels, self.label_batches
        self._note_cells()
        sweep = None
        if len(labels) > 2 and self._clusters is None:
            sweep = Sweep(self.cluster_rule, space.n, self.seed)
        try:
            if sweep is not None:
                sweep.feed(space.graph(15))
            self._prepare_cells(space, labels, batches)
            if sweep is not None:
                self._clusters = sweep.result(labels)
        except BaseException:
            if sweep is not None:
                sweep.abandon()
            raise
        if self._clusters is not None:
            self._findings.append(self._clusters.note)

    def _prepare_cells(self, space: Space, labels: np.ndarray, batches: np.ndarray) -> None:
        with ThreadPoolExecutor(1) as pool:
            # The path search runs outside the GIL, beside the rest.
            paths = [pool.submit(s.prepare_paths) for s in {id(s): s for s in (self.all, space)}.values() if s.n > 2]
            self._prepare_pcr()
            if len(labels) > 2:
                self._prepare_label_cells(space, labels, batches)
            for done in paths:
                done.result()
        if len(self.batch_names) > 1 and self.all.unreachable:
            self._findings.append(
                f"graph LISI: {self.all.unreachable} of {self.n} cells reach fewer than 90 others in the neighbour "
                "graph and count as unmixed (LISI 1), as in scib"
            )

    def _note_cells(self) -> None:
        missing = int((~self.has_label).sum())
        if missing:
            self._findings.append(f"{missing} of {self.n} cells have no label: left out of the metrics that need one")
        if len(self.batch_names) < 2:
            self._findings.append("one batch only: metrics of batch removal are undefined")
        if len(np.unique(self.labels)) < 2:
            self._findings.append("fewer than two labels: metrics of label agreement are undefined")
        if self.n < 91:
            self._findings.append(
                f"{self.n} cells: LISI uses all {self.n - 1} others as neighbours instead of 89 (90 by path)"
            )

    def _prepare_label_cells(self, space: Space, labels: np.ndarray, batches: np.ndarray) -> None:
        n_batches, n_labels = len(self.batch_names), len(self.label_names)
        width = n_labels * n_batches
        sums = silhouette.group_distance_sums(space.X, labels * n_batches + batches)
        sums = np.pad(sums, ((0, 0), (0, width - sums.shape[1])))
        by_label = sums.reshape(len(labels), n_labels, n_batches).sum(axis=2)
        self._cells["asw_label"] = (silhouette.silhouette_samples(by_label, labels) + 1) / 2
        self._cells["asw_batch"] = silhouette.batch_silhouettes(sums, labels, batches)
        self._cells["bras"] = silhouette.bras_samples(space.X, labels, batches)
        self._isolated = isolated_labels(labels, batches)
        if not self._isolated:
            self._findings.append("isolated labels: every label is in all batches, so there is none")
        key = ("kbet", np.bincount(labels * n_batches + batches, minlength=width).tobytes())
        if key not in space.shared:
            space.shared[key] = label_tests(space.graph(50), labels, batches)
        self._tests, notes = space.shared[key]
        self._findings += [f"kBET per label, {self._named(note)}" for note in notes]
        self._kernels, left_out, capped = label_kernels(space.X, labels, batches)
        if left_out:
            names = ", ".join(self.label_names[i] for i in left_out)
            self._findings.append(f"CiLISI leaves out labels with fewer than 10 cells or 2 batches: {names}")
        if capped:
            names = ", ".join(self.label_names[i] for i in capped)
            self._findings.append(f"CiLISI: perplexity a third of the neighbours (under 90 cells) for: {names}")

    def _named(self, note: str) -> str:
        head, _, rest = note.partition(":")
        return f"{self.label_names[int(head.split()[1])]}:{rest}"

    def _prepare_pcr(self) -> None:
        self._pcr_defined, self._overlap = False, np.full(self.n, np.nan)
        if self.pre is None:
            self._findings.append("PCR undefined: no unintegrated principal components were given")
            return
        # Kept beside the space: it needs all cells, not the labelled ones.
        self._overlap = neighbor_overlap(self.all.X, self.pre, self.batches)
        if len(self.batch_names) < 2:
            return
        self._pcr_defined, before, limit = pcr.batch_effect(self.pre, self.batches, self.seed)
        if not self._pcr_defined:
            self._findings.append(NO_BATCH_EFFECT.format(before=before, limit=limit))

    # -- results --------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, float]:
        """Value of every id in ``IDS``; NaN where it is undefined, with the reason in ``findings``."""
        if self._values is None:
            with one_blas_thread():
                self._prepare()
                self._values = self._evaluate(np.ones(self.n, dtype=bool))
        return dict(self._values)

    @property
    def findings(self) -> list[str]:
        """What was capped, left out or undefined, and why, in sentences."""
        self.values()
        return list(self._findings)

    @property
    def partial(self) -> bool:
        """True where a part of S_batch or S_bio is undefined, so that S_final is a mean over the rest."""
        value = self.values()
        return bool(np.isnan([value[name] for name in (*BIO_PARTS, *BATCH_PARTS)]).any())

    @property
    def clusterings(self) -> Clusterings | None:
        """The clusterings that NMI, ARI and the isolated-label F1 were computed from."""
        self.values()
        return self._clusters

    def units(self) -> dict[str, np.ndarray]:
        """Per-cell values, one array over all cells per id; NaN where a cell does not take part."""
        self.values()
        keep = np.ones(self.n, dtype=bool)
        found = {name: self._spread(cells) for name, cells in self._cells.items()}
        found["knn_overlap"] = self._overlap
        if len(self.batch_names) > 1:
            n_batches = len(self.batch_names)
            found["ilisi_knn"] = scale_mixing(self.all.lisi(keep, self.batches, n_batches), n_batches)
            found["ilisi_graph"] = scale_mixing(self.all.lisi_graph(keep, self.batches, n_batches), n_batches)
            found["kbet50"] = self._kbet50(keep)
        if len(self.labels) > 2:
            inside, n_labels = keep[self.has_label], len(self.label_names)
            found["clisi_knn"] = self._spread(scale_purity(self.labelled.lisi(inside, self.labels, n_labels), n_labels))
            found["clisi_graph"] = self._spread(
                scale_purity(self.labelled.lisi_graph(inside, self.labels, n_labels), n_labels)
            )
            found["cilisi"] = self._spread(cilisi_samples(self._kernels, inside, self.label_batches))
            found["kbet_label"] = self._spread(kbet_samples(self._tests, inside, self.label_batches)[0])
            isolated = np.isin(self.labels, self._isolated)
            found["isolated_asw"] = self._spread(np.where(isolated, self._cells["asw_label"], np.nan))
        return {name: found[name] for name in IDS if name in found}

    def _spread(self, cells: np.ndarray) -> np.ndarray:
        out = np.full(self.n, np.nan)
        out[self.has_label] = cells
        return out

    def replicate(self, keep: np.ndarray) -> dict[str, float]:
        """The same metrics on a subset of the cells, from what is cached.

        Parameters
        ----------
        keep
            Boolean, one per cell. Silhouettes are the cached per-cell values; clusterings stay fixed; neighbour
            lists are filtered and searched again where a cell keeps too few. With all True this equals ``values``.
        """
        keep = np.asarray(keep, dtype=bool)
        if keep.shape != (self.n,):
            raise ValueError(f"keep has shape {keep.shape}, expected ({self.n},)")
        self.values()
        with one_blas_thread():
            return self._evaluate(keep)

    def _evaluate(self, keep: np.ndarray) -> dict[str, float]:
        out = dict.fromkeys(IDS, _NAN)
        if keep.sum() > 2:
            out |= self._batch_values(keep)
            inside = keep[self.has_label]
            if inside.sum() > 2:
                out |= self._label_values(inside)
        return out | composite_scores(out)

    def _batch_values(self, keep: np.ndarray) -> dict[str, float]:
        overlap = silhouette.mean_by_label(self._overlap[keep], self.batches[keep])
        n_batches = len(np.unique(self.batches[keep]))
        if n_batches < 2:
            return {"knn_overlap": overlap}
        columns = len(self.batch_names)
        after = pcr.batch_r2(self.all.X[keep], self.batches[keep])
        before = pcr.batch_r2(self.pre[keep], self.batches[keep]) if self._pcr_defined else _NAN
        mixing = self.all.lisi(keep, self.batches, columns)
        by_path = self.all.lisi_graph(keep, self.batches, columns)
        return {
            "pcr": pcr.pcr_comparison(before, after),
            "ilisi_knn": float(scale_mixing(_median(mixing), n_batches)),
            "ilisi_graph": float(scale_mixing(_median(by_path), n_batches)),
            "kbet50": float(np.nanmean(self._kbet50(keep))),
            "knn_overlap": overlap,
        }

    def _kbet50(self, keep: np.ndarray) -> np.ndarray:
        lists, _ = self.all.nearest(keep, 50)
        batches = self.batches[keep]
        frequencies = np.bincount(batches, minlength=len(self.batch_names))
        return acceptance(batches[lists], np.ones(lists.shape, dtype=bool), frequencies)

    def _label_values(self, keep: np.ndarray) -> dict[str, float]:
        space, labels, batches = self.labelled, self.labels[keep], self.label_batches[keep]
        lists, distances = space.nearest(keep, 15)
        weights = space.graph(15) if keep.all() else graph.connectivities(lists, distances)
        out = {
            "gc_scib": float(np.nanmean(graph.graph_connectivity_scib(weights, labels))),
            "gc_knn": float(np.nanmean(graph.graph_connectivity_knn(lists, labels))),
        }
        kinds, n_labels = len(np.unique(labels)), len(self.label_names)
        if kinds > 1:
            out |= self._agreement(keep, labels)
            out["asw_label"] = float(np.mean(self._cells["asw_label"][keep]))
            out["clisi_knn"] = float(scale_purity(_median(space.lisi(keep, self.labels, n_labels)), kinds))
            out["clisi_graph"] = float(scale_purity(_median(space.lisi_graph(keep, self.labels, n_labels)), kinds))
            per_label = [mean_defined(self._cells["asw_label"][keep][labels == label]) for label in self._isolated]
            out["isolated_asw"] = mean_defined(per_label)
        if len(np.unique(batches)) > 1:
            out["asw_batch"] = silhouette.mean_by_label(self._cells["asw_batch"][keep], labels)
            out["bras"] = silhouette.mean_by_label(self._cells["bras"][keep], labels)
            out["kbet_label"] = mean_defined(list(kbet_samples(self._tests, keep, self.label_batches)[1].values()))
            out["cilisi"] = mean_defined(cilisi_samples(self._kernels, keep, self.label_batches))
        return out

    def _agreement(self, keep: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        rows = self._clusters.memberships
        chosen = [agreement.contingency(rows[i][keep], labels) for i in self._clusters.chosen]
        out = {
            "nmi": float(np.mean([agreement.nmi(table) for table in chosen])),
            "ari": float(np.mean([agreement.ari(table) for table in chosen])),
        }
        if self._isolated:
            # The rules that choose a resolution choose it for each isolated label anew, as scib does.
            pick = np.mean if self.cluster_rule == "fixed" else np.max
            tables = [agreement.contingency(row[keep], labels) for row in rows]
            best = [pick([agreement.best_f1(table, label) for table in tables]) for label in self._isolated]
            out["isolated_f1"] = mean_defined(best)
        return out


def _median(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if len(good) else _NAN
