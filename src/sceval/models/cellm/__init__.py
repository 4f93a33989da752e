"""CellLM (Zhao et al. 2023, arXiv:2306.04371; in OpenBioMed) in plain PyTorch."""
