"""ResPAN (Wang et al. 2022): batches mapped onto each other by a residual generator, trained on mutual neighbors."""
