"""Both models can be pre-trained, and what is written is a checkpoint of theirs."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from sceval.contract.sample import sample_view
from sceval.data.genes import Genes
from sceval.models.transformer.corpus import Corpus
from sceval.models.transformer.pretrain import pretrain, write_checkpoint

SMALL = {"epochs": 3, "dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "n_features": 8, "batch_size": 16, "lr": 1e-2}


def test_held_out_loss_falls_and_the_checkpoint_loads(model, tmp_path):
    cells = sample_view(n=120, g=30)
    corpus = Corpus(cells.X, Genes.from_symbols(cells.var["gene_symbol"]), [str(c) for c in cells.obs_names])
    described = import_module(f"sceval.models.{model.name}.program").MODEL
    loaded, facts = pretrain(described, corpus, SMALL, seed=1)
    assert min(facts["held_loss"]) < facts["held_loss_untrained"]
    assert facts["settings"]["dropout"] == {"scbert": 0.0, "cellm": 0.1}[model.name]
    write_checkpoint(described, loaded, facts, tmp_path / "out")
    again = model.checkpoint.load(tmp_path / "out", {}, 0)
    tokens = import_module(f"sceval.models.{model.name}.tokens").tokenize(
        corpus.counts, corpus.genes, corpus.cell_ids, again.vocabulary, {}, 0
    )
    rows = np.arange(10)
    np.testing.assert_array_equal(
        model.vectors(again.network, tokens, rows), model.vectors(loaded.network, tokens, rows)
    )
