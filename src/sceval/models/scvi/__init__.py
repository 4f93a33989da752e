"""scVI: a variational autoencoder of counts, by the package scvi-tools."""
