"""scANVI: scVI that also learns from the labels of some cells, by the package scvi-tools."""
