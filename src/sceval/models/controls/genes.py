"""Gene vectors and gene classes that use no expression."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import GeneClasses
from sceval.models.controls.embeddings import RANDOM_DIMENSIONS, gaussians
from sceval.models.request import Request
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


def random(request: Request) -> np.ndarray:
    """Gaussian noise for each gene, 16 dimensions."""
    return gaussians(request.view.var_names, RANDOM_DIMENSIONS, derive_seed(request.seed, "random genes"))


def _prior(request: Request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    var = request.view.var
    known = np.array([label is not None for label in var["gene_class"]], bool)
    classes, counts = np.unique(var["gene_class"][known].astype(str), return_counts=True)
    return request.view.var_names[var["part"] == "test"], classes.astype(object), counts / counts.sum()


def majority(request: Request) -> GeneClasses:
    """The class frequencies of the training genes, for every gene."""
    genes, classes, prior = _prior(request)
    return GeneClasses(genes, classes, np.tile(prior, (len(genes), 1)))


def stratified_random(request: Request) -> GeneClasses:
    """Probabilities drawn at random around the class frequencies, for each gene by itself."""
    genes, classes, prior = _prior(request)
    seed = derive_seed(request.seed, "random gene classes")
    drawn = hashed_uniforms(hash_ids(genes)[:, None], np.arange(len(classes))[None, :], seed) + 1e-9
    weighted = drawn * prior
    return GeneClasses(genes, classes, weighted / weighted.sum(axis=1, keepdims=True))


EMBEDDINGS = {"random": random}
CLASSES = {"majority": majority, "stratified_random": stratified_random}
