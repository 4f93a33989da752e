"""Perturbations predicted by simple methods: the sum of the parts, bilinear regression, a small graph network."""
