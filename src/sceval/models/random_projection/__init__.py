"""Random projection of log counts: what an embedding is worth that learned nothing."""
