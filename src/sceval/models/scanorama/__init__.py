"""Scanorama: panoramic stitching of batches by mutual nearest neighbors."""
