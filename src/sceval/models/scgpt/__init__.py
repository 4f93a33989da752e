"""scGPT (Cui et al., Nature Methods 2024) in plain PyTorch: tokens, network, checkpoint, and the verbs on top."""
