"""TOSICA (Chen et al. 2023): a transformer over pathways, trained for each reference."""
