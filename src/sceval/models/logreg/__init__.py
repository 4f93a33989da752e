"""Logistic regression on genes: the supervised baseline."""
