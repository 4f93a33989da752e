"""UCE: a transformer over protein vectors of genes, drawn by expression and laid out along the chromosomes."""
