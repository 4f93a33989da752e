"""Simple baselines of imputation: what a trained model has to beat."""
