"""tGPT: a GPT-2 that reads the genes of a cell in the order of their expression."""
