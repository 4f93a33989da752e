"""MultiVI and totalVI: variational autoencoders of two modalities, by the package scvi-tools."""
