"""Perturbations of known effect, planted on real cells, as counts: singles, combinations, and two contexts.

Half of the cells of each population only shapes the effects (their co-expression) and is never shown. The others are
dealt to four pools of base cells: controls and perturbed cells that may be seen, and controls and perturbed cells that
are scored. A planted cell is a base cell, thinned, its genes multiplied by what the perturbation does.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.planted import scale_counts
from sceval.data.preprocess import fit_pca, log_cp10k

CONTROL = "control"

POPULATIONS = {
    "myeloid": ("Dendritic", "CD14+ Monocyte"),
    "t_nk": (
        *("CD4+/CD25 T Reg", "CD8+ Cytotoxic T", "CD8+/CD45RA+ Naive Cytotoxic", "CD56+ NK"),
        *("CD4+/CD45RO+ Memory", "CD4+/CD45RA+/CD25- Naive T"),
    ),
}
"""Context -> its cell types; the first has every perturbation, the second some of the singles."""

N_SINGLES, N_DOUBLES, N_SHARED = 42, 21, 12
"""Perturbed genes, combinations of two of them, and singles done in the second context too."""

CELLS, CONTROLS = {"train": 30, "test": 60}, 120
"""Cells of a perturbation by pool: that may be seen, and that are scored (30 of them are the truth, the others show
what the data allow); and control cells in each pool."""

KEPT = 0.85
"""Share of the counts of a base cell that thinning leaves."""

RANK, EFFECT, COMMON, OWN = 6, 0.55, 0.3, 0.1
"""Rank of the effects; standard deviation over genes of the natural log factor: of the part that the co-expression of
the perturbed gene gives, of the part all perturbations share, and of a part of its own."""

KNOCKDOWN = 0.2
"""Factor on the perturbed gene itself."""

CONTEXT_SHARE = 0.8
"""Share of an effect that the second context repeats; the rest is its own."""

BUFFERED, SYNERGY = 0.3, 0.6
"""Non-additive combinations: what is left of the sum (every second one), or standard deviation of what is added."""


def gene_features(cells: CellFile, population: np.ndarray) -> np.ndarray:
    """Return the co-expression features of the genes, g x `RANK`: loadings of standardized log CP10k, unit variance.

    Each population is centered: else the first feature is what tells the populations apart, and copies of cells of one
    would pass for perturbed cells of the other.
    """
    X = log_cp10k(cells.X).toarray()
    for name in np.unique(population):
        X[population == name] -= X[population == name].mean(axis=0)
    spread = X.std(axis=0)
    X = np.divide(X, spread, out=np.zeros_like(X), where=spread > 0)
    loadings = fit_pca(sparse.csr_matrix(X), RANK).components
    return loadings / loadings.std(axis=0)


def _sized(values: np.ndarray, deviation: float) -> np.ndarray:
    """Scale the values of each row so that their standard deviation over genes is `deviation`."""
    return values / values.std(axis=-1, keepdims=True) * deviation


def _effects(features: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the perturbed genes (columns), their log effects (singles x g), and the effect that all share (g)."""
    g = len(features)
    strong = np.argsort(-np.linalg.norm(features, axis=1), kind="stable")[: N_SINGLES * 3]
    columns = np.sort(rng.choice(strong, N_SINGLES, replace=False))
    mixing = rng.standard_normal((RANK, RANK))
    common = _sized((features @ rng.standard_normal(RANK))[None, :], COMMON)[0]
    learnable = _sized(features[columns] @ mixing @ features.T, EFFECT)
    own = rng.normal(0.0, OWN, (N_SINGLES, g))
    return columns, learnable + own, common


def _pools(rows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Deal a population: half to the effects, the rest to four disjoint pools of base cells."""
    mixed = rng.permutation(rows)
    half, rest = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
    parts = np.split(rest, np.round(np.cumsum([0.27, 0.23, 0.26]) * len(rest)).astype(int))
    names = ("control_train", "control_test", "train", "test")
    return {"effects": half} | dict(zip(names, parts, strict=True))


def _draw(
    cells: CellFile, base: np.ndarray, n: int, factors: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw n base cells (none twice before all were), thin them, and multiply their genes by the factors (g)."""
    rounds = -(-n // len(base))
    rows = np.concatenate([rng.permutation(base) for _ in range(rounds)])[:n]
    X = cells.X[rows].toarray()
    counts = scale_counts(rng.binomial(X.astype(int), KEPT), np.broadcast_to(factors, X.shape), rng)
    empty = counts.sum(axis=1) == 0
    counts[empty] = X[empty]  # a cell without any count would be refused
    return sparse.csr_matrix(counts.astype(np.float32))


def plant_perturbations(cells: CellFile, seed: int = 0) -> CellFile:
    """Return planted cells with `obs['perturbation']`, `obs['context']`, `obs['pool']` and the truth in `uns`.

    Log effect of a single: what the co-expression of the perturbed gene gives (low rank, learnable), plus a part of its
    own (not learnable), plus what all perturbations share; the perturbed gene itself falls to `KNOCKDOWN`. Two thirds
    of the combinations are the sum of their singles, the others are not. Each perturbation has `CELLS` cells in each
    pool: those of `train` may be seen, those of `test` are scored, and no base cell is in two pools.

    Parameters
    ----------
    cells
        Real cells with counts and `obs['cell_type']`.
    seed
        Seed of everything.

    Returns
    -------
    `uns['perturbation']` has `control` and `non_additive`, the names of the combinations that are not the sum.
    """
    rng = np.random.default_rng(seed)
    labels = cells.obs["cell_type"].astype(str)
    pools = {name: _pools(np.flatnonzero(np.isin(labels, types)), rng) for name, types in POPULATIONS.items()}
    half = np.concatenate([pool["effects"] for pool in pools.values()])
    population = np.repeat(list(pools), [len(pool["effects"]) for pool in pools.values()])
    columns, effects, common = _effects(
        gene_features(CellFile(cells.obs_names[half], X=cells.X[half]), population), rng
    )
    genes = cells.var_names[columns].astype(object)
    logs: dict[str, np.ndarray] = {str(gene): effect for gene, effect in zip(genes, effects, strict=True)}
    targets = {str(gene): [column] for gene, column in zip(genes, columns, strict=True)}
    pairs = [(a, b) for a in range(N_SINGLES) for b in range(a + 1, N_SINGLES)]
    non_additive = []
    for number, place in enumerate(rng.choice(len(pairs), N_DOUBLES, replace=False)):
        a, b = pairs[place]
        name = f"{genes[a]}+{genes[b]}"
        effect = effects[a] + effects[b]
        if number % 3 == 0:
            non_additive.append(name)
            more = _sized(rng.standard_normal((1, cells.n_vars)), SYNERGY)[0]
            effect = effect * BUFFERED if number % 2 else effect + more
        logs[name], targets[name] = effect, [columns[a], columns[b]]
    first, second = POPULATIONS
    shared = [str(gene) for gene in rng.permutation(genes)[:N_SHARED]]
    blocks, obs = [], {name: [] for name in ("perturbation", "context", "pool")}

    def add(name: str, context: str, pool: str, base: np.ndarray, n: int, factors: np.ndarray) -> None:
        blocks.append(_draw(cells, base, n, factors, rng))
        for key, value in (("perturbation", name), ("context", context), ("pool", pool)):
            obs[key] += [value] * n

    for context, dealt in pools.items():
        for pool in ("train", "test"):
            add(CONTROL, context, pool, dealt[f"control_{pool}"], CONTROLS, np.ones(cells.n_vars))
        for name in logs if context == first else shared:
            effect = logs[name]
            if context == second:
                other = _sized(rng.standard_normal((1, cells.n_vars)), EFFECT * (1 - CONTEXT_SHARE))[0]
                effect = CONTEXT_SHARE * effect + other
            factors = np.exp(effect + common * len(targets[name]))
            factors[targets[name]] = KNOCKDOWN
            for pool in ("train", "test"):
                add(name, context, pool, dealt[pool], CELLS[pool], factors)
    X = sparse.vstack(blocks, format="csr")
    X.sort_indices()
    ids = np.array([f"planted{row:05d}" for row in range(X.shape[0])], object)
    out = CellFile(ids, cells.var_names, X=X, var=dict(cells.var))
    out.obs = {name: np.array(values, object) for name, values in obs.items()}
    out.uns["perturbation"] = {"control": CONTROL, "non_additive": np.array(sorted(non_additive), object)}
    return out
