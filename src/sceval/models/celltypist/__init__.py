"""CellTypist: one-against-rest logistic regression on all genes, trained on the reference cells of the view."""
