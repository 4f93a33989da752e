"""Marker genes alone: what is known of cell types before any cell is seen."""
