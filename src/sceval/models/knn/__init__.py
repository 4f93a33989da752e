"""k-nearest neighbours: a label-transfer baseline."""
