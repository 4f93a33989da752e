"""Gene networks from expression alone: absolute correlation, and a regression of each gene on the regulators."""
