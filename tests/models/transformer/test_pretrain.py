"""Pre-training: files lined up by gene, the loss falls on held-out cells, the official layout can be loaded again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from sceval.cli.main import main
from sceval.contract import h5ad
from sceval.contract.sample import sample_view
from sceval.models.tgpt.program import MODEL
from sceval.models.transformer.corpus import read_corpus
from sceval.models.transformer.pretrain import pretrain, write_checkpoint
from sceval.models.transformer.session import Session

SMALL = {"epochs": 3, "d_model": 16, "n_layers": 1, "n_heads": 2, "batch_size": 16, "lr": 1e-2}


@pytest.fixture
def files(tmp_path):
    cells = sample_view(n=80, g=40)
    paths = []
    for number, columns in enumerate((np.arange(30), np.arange(10, 40)[::-1])):
        part = h5ad.CellFile(cells.obs_names, cells.var_names[columns], X=cells.X[:, columns].tocsr())
        part.var["gene_symbol"] = part.var_names.copy()
        paths.append(tmp_path / f"part{number}.h5ad")
        h5ad.write(paths[-1], part)
    return paths, cells


def test_genes_of_all_files_are_lined_up_by_symbol(files):
    paths, cells = files
    corpus = read_corpus(paths)
    assert corpus.genes.symbols == sorted(map(str, cells.var_names))
    place = [corpus.genes.symbols.index(name) for name in cells.var_names]
    whole = cells.X.toarray()
    assert np.array_equal(corpus.counts[:80].toarray()[:, place[:30]], whole[:, :30])
    assert np.array_equal(corpus.counts[80:].toarray()[:, place[10:]], whole[:, 10:])
    assert corpus.counts[:80].toarray()[:, place[30:]].sum() == 0
    assert len(set(corpus.cell_ids)) == 160
    kept = read_corpus(paths, ["GENE_ELSEWHERE", str(cells.var_names[0]), str(cells.var_names[39])])
    assert kept.counts[:, 0].sum() == 0
    with pytest.raises(ValueError, match="none of its 30 genes"):
        read_corpus(paths, ["GENE_ELSEWHERE"])


def test_the_held_out_loss_falls_and_the_checkpoint_embeds_cells(files, tmp_path):
    corpus = read_corpus(files[0])
    loaded, facts = pretrain(MODEL, corpus, SMALL, seed=1)
    assert facts["cells_held"] == pytest.approx(0.05 * 160, abs=2)
    assert facts["cells_held"] + facts["cells_train"] == 160
    assert min(facts["held_loss"]) < facts["held_loss_untrained"]
    assert len(facts["held_loss"]) == len(facts["train_loss"]) == 3
    write_checkpoint(MODEL, loaded, facts, tmp_path / "out")
    again = Session.of_arrays(
        MODEL, "embed-cells", "zero_shot", corpus.counts, corpus.genes, corpus.cell_ids, weights=tmp_path / "out"
    )
    for name, value in loaded.network.state_dict().items():
        assert np.array_equal(value, again.loaded.network.state_dict()[name]), name
    second, other = pretrain(MODEL, corpus, SMALL, seed=1)
    assert other["held_loss"] == facts["held_loss"]
    assert all(np.array_equal(v, second.network.state_dict()[k]) for k, v in loaded.network.state_dict().items())


def test_the_command_says_what_is_wrong_and_what_it_made(files, tmp_path):
    run = CliRunner().invoke(
        main,
        [
            "pretrain",
            "tgpt",
            *map(str, files[0]),
            "--out",
            str(tmp_path / "w"),
            "--params",
            json.dumps(SMALL | {"epochs": 1}),
        ],
    )
    assert run.exit_code == 0, run.output
    assert "held-out loss" in run.output
    told = json.loads((tmp_path / "w" / "pretraining.json").read_text())
    assert [row["file"] for row in told["corpus"]] == ["part0.h5ad", "part1.h5ad"]
    bad = CliRunner().invoke(main, ["pretrain", "tgpt", "x.h5ad", "--out", "w", "--params", '{"epoch": 1}'])
    assert bad.exit_code != 0
    assert "did you mean 'epochs'" in bad.output
    missing = CliRunner().invoke(main, ["pretrain", "tgpt", str(tmp_path / "no.h5ad"), "--out", str(tmp_path / "n")])
    assert missing.exit_code == 1
    assert "no.h5ad" in missing.output
    assert not (tmp_path / "n").exists()
