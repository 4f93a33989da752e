"""Simple baselines of multi-omic integration: concatenated components, CCA, components scaled by modality."""
