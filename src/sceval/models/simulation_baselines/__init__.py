"""Classical simulators: resampled cells, negative binomials gene by gene, a Splat-like and a copula model."""
