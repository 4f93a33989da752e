"""scBERT (Yang et al. 2022, Nature Machine Intelligence) in plain PyTorch."""
