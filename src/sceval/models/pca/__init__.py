"""PCA of variable genes: the unintegrated baseline."""
