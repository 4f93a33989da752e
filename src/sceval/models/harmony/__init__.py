"""Harmony: batch correction of principal components."""
