"""Who is training, validation and test: made once per dataset, task, scheme and split seed, for all models."""

from __future__ import annotations

import numpy as np

TEST_SHARE = 0.3
"""Share of the labelled cells that is test in the `intra` scheme (the study's 70/30)."""

LARGEST_TEST_SHARE = 0.6
"""Share of the labelled cells that whole batches held out together may make."""

VALIDATION_SHARE = 0.1
"""Share of the training cells that picks the best epoch."""


def _stratified(labels: np.ndarray, rows: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random share of the rows, label by label; at least one row of each label stays behind.

    Fractions are carried from label to label, so that the total is right also where many labels are small; never more
    than half a row, so that many labels of a single row take nothing from the next large one.
    """
    taken: list[np.ndarray] = []
    carry = 0.0
    for label in sorted(set(labels[rows])):
        members = rng.permutation(rows[labels[rows] == label])
        exact = share * len(members) + carry
        count = min(round(exact), len(members) - 1)
        carry = min(exact - count, 0.5)
        taken.append(members[:count])
    return np.concatenate(taken) if taken else np.empty(0, int)


def _with_validation(part: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    train = np.flatnonzero(part == "train")
    part[_stratified(labels, train, VALIDATION_SHARE, rng)] = "validation"
    return part


def intra(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each cell (n,): 70/30 stratified by label, a validation part inside the training part.

    Parameters
    ----------
    labels
        Labels (n,), None where missing. Cells without a label are `train`: a model may see their counts.
    seed
        The split seed.
    """
    rng = np.random.default_rng(seed)
    part = np.full(len(labels), "train", object)
    labelled = np.flatnonzero([label is not None for label in labels])
    part[_stratified(labels, labelled, TEST_SHARE, rng)] = "test"
    known = np.array([label is not None for label in labels])
    inside = _with_validation(part[known], labels[known], rng)
    part[known] = inside
    return part


def inter(labels: np.ndarray, batches: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return the part of each cell (n,) where whole batches are test, and the names of those batches.

    Batches are taken in an order drawn by the seed until the test part holds at least `TEST_SHARE` of the labelled
    cells. A batch that would make more than `LARGEST_TEST_SHARE` of them test is passed over, unless it is the first.

    Raises
    ------
    ValueError
        If there is one batch only.
    """
    rng = np.random.default_rng(seed)
    known = np.array([label is not None for label in labels])
    names = sorted(set(batches))
    if len(names) < 2:
        msg = f"whole batches are held out, and there is only one ({names[0]})"
        raise ValueError(msg)
    order = [str(name) for name in rng.permutation(np.array(names, object))]
    shares = {name: float(np.mean(batches[known] == name)) for name in order}
    order.sort(key=lambda name: shares[name] > LARGEST_TEST_SHARE)  # stable: only the too large ones move to the end
    held = [order[0]]
    for name in order[1:]:
        share = sum(shares[other] for other in held)
        if share < TEST_SHARE and share + shares[name] <= LARGEST_TEST_SHARE:
            held.append(name)
    part = np.where(np.isin(batches, held), "test", "train").astype(object)
    part[known] = _with_validation(part[known], labels[known], rng)
    return part, held


def from_query(labels: np.ndarray, is_query: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each cell (n,) where a second dataset is the test part."""
    known = np.array([label is not None for label in labels])
    part = np.where(is_query, "test", "train").astype(object)
    part[known] = _with_validation(part[known], labels[known], np.random.default_rng(seed))
    return part


BUDGETS = (5, 20, 50)
"""Labelled cells of each type in the `few_N` splits."""

UNSEEN_TYPES, MOST_UNSEEN = 0.2, 0.4
"""Share of the types that `unseen_type` holds out, and the largest share of the labelled cells that they may make."""

LEAST_UNSEEN = 20
"""Cells of a type that may be held out: fewer would not carry a ranking."""


def few_shot(labels: np.ndarray, seed: int, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of each cell (n,), and which cells show their label: `budget` of each type at most.

    The test part is that of `intra` with the same seed, and a larger budget holds the cells of a smaller one, so that
    scores over budgets are one curve. A tenth of the labelled cells is the validation part, drawn anew; reference
    cells beyond the budget stay in the training part without a label.
    """
    part = intra(labels, seed)
    rng = np.random.default_rng([seed, 1])
    known = np.array([label is not None for label in labels])
    reference = np.flatnonzero(known & (part != "test"))
    shown = np.zeros(len(labels), bool)
    for label in sorted(set(labels[reference])):
        shown[rng.permutation(reference[labels[reference] == label])[:budget]] = True
    part[part != "test"] = "train"
    part[shown] = _with_validation(part[shown], labels[shown], rng)
    return part, shown


def may_be_unseen(cells_per_type: dict[str, int]) -> list[str]:
    """Return the types that `unseen_type` may hold out, sorted: large enough, and not most of the cells."""
    total = max(sum(cells_per_type.values()), 1)
    return sorted(name for name, n in cells_per_type.items() if n >= LEAST_UNSEEN and n / total <= MOST_UNSEEN)


def unseen_type(labels: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return the part of each cell (n,) where whole types are test beside 30 % of the others, and the held types.

    Types are taken in an order drawn by the seed until they are a fifth of all types (at least one); one that would
    bring their cells above `MOST_UNSEEN` of the labelled ones is passed over.

    Raises
    ------
    ValueError
        If no type can be held out, or fewer than two would be left.
    """
    known = np.array([label is not None for label in labels])
    names, counts = np.unique(labels[known].astype(str), return_counts=True)
    sizes = dict(zip(names.tolist(), counts.tolist(), strict=True))
    eligible = may_be_unseen(sizes)
    if not eligible or len(names) < 3:
        msg = (
            f"{len(eligible)} of {len(names)} types have {LEAST_UNSEEN} cells and at most {MOST_UNSEEN:.0%} of all; "
            "one such type is needed, and two others to learn"
        )
        raise ValueError(msg)
    wanted = min(max(1, round(UNSEEN_TYPES * len(names))), len(names) - 2)
    order = np.random.default_rng([seed, 2]).permutation(np.array(eligible, object))
    held: list[str] = []
    for name in order:
        if len(held) < wanted and sum(sizes[other] for other in (*held, name)) <= MOST_UNSEEN * known.sum():
            held.append(str(name))
    part = intra(labels, seed)
    part[known & np.isin(labels.astype(str), held)] = "test"
    return part, sorted(held)
