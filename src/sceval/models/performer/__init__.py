"""The Performer (Choromanski et al. 2021, ICLR) that scBERT, CellLM and scFoundation's decoder are made of."""
