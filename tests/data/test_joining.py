"""Two datasets over the genes that they share."""

from __future__ import annotations

import numpy as np

from sceval.data.genes import Genes
from sceval.data.joining import shared_by_id, shared_by_orthologue

HUMAN = ["ACTB", "GAPDH", "CD19", "NOSUCH1", "MS4A1", "CD3E"]
MOUSE = ["Cd3e", "Actb", "Nosuch2", "Ms4a1", "GAPDH"]


def test_genes_of_one_organism_are_joined_by_id_in_the_order_of_the_reference():
    found = shared_by_id(np.array(["a", "b", "c"], object), np.array(["c", "x", "a"], object))
    assert found.reference.tolist() == [0, 2]
    assert found.query.tolist() == [2, 0]
    assert not found.named_by_query


def test_mouse_genes_are_joined_to_human_ones_under_the_human_names():
    human, mouse = Genes.from_symbols(HUMAN), Genes.from_symbols(MOUSE, "mouse")
    forth = shared_by_orthologue(human, mouse)
    pairs = [(HUMAN[i], MOUSE[j]) for i, j in zip(forth.reference, forth.query, strict=True)]
    assert pairs == [("ACTB", "Actb"), ("GAPDH", "GAPDH"), ("MS4A1", "Ms4a1"), ("CD3E", "Cd3e")]
    assert not forth.named_by_query
    back = shared_by_orthologue(mouse, human)
    assert [(HUMAN[j], MOUSE[i]) for i, j in zip(back.reference, back.query, strict=True)] == pairs
    assert back.named_by_query  # the view is one of human genes in both directions
    assert "4 of 5 mouse genes joined" in forth.findings[0]


def test_what_is_not_one_to_one_is_left_out_and_said():
    human = Genes.from_symbols(["ACTB", "CD19", "CD19", "MS4A1"])
    mouse = Genes.from_symbols(["Actb", "Cd19", "Ms4a1", "MS4A1x", "Ms4A1"], "mouse")
    found = shared_by_orthologue(human, mouse)
    names = [human.symbols[i] for i in found.reference]
    assert "CD19" not in names
    assert "ACTB" in names
    assert "MS4A1" not in names
    assert any("several mouse genes" in line for line in found.findings)
