"""scFoundation (Hao et al. 2024): an encoder over expressed genes and a linear-attention decoder over all genes."""
