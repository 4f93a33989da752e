"""Geneformer V1 and V2 (Theodoris et al., Nature 2023; Chen et al. 2024) in plain PyTorch: genes in order of rank."""
