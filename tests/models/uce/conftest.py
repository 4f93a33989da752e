"""The parity fixture (where present), and a writer of small random folders in the official layout."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURE = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "uce"
HUMAN = "protein_embeddings/Homo_sapiens.GRCh38.gene_symbol_to_embedding_ESM2.pt"
MOUSE = "protein_embeddings/Mus_musculus.GRCm39.gene_symbol_to_embedding_ESM2.pt"


@pytest.fixture(scope="session")
def parity():
    """Folder, settings, expected arrays, the counts and the genes."""
    if not (FIXTURE / "expected.npz").is_file():
        pytest.skip("no ../shared/parity/uce beside the repository")
    import anndata

    from sceval.data.genes import Genes

    data = anndata.read_h5ad(FIXTURE / "input.h5ad")
    with np.load(FIXTURE / "expected.npz") as content:
        expected = {key: content[key] for key in content.files}
    config = json.loads((FIXTURE / "config.json").read_text())
    return SimpleNamespace(
        folder=FIXTURE / "model_files",
        expected=expected,
        config=config,
        settings={
            "n_heads": config["nhead"],
            "sample_size": config["sample_size"],
            "min_cells": 10,
            "min_genes": 25,
            "draws": "upstream",
        },
        counts=data.X.tocsr(),
        genes=Genes.from_symbols(list(data.var_names), config["species"]),
        cells=[str(c) for c in data.obs_names],
    )


@pytest.fixture
def official(tmp_path):
    """Write a small random folder in the official layout: 30 human and 12 mouse genes on four chromosomes each."""
    import torch

    from sceval.models.uce.network import Config, Network

    def write(name="weights", seed=0, extra=()):
        generator = torch.Generator().manual_seed(seed)
        folder = tmp_path / name
        (folder / "protein_embeddings").mkdir(parents=True)
        species = {"mouse": [f"Gene{i}" for i in range(12)], "human": [f"GENE{i}" for i in range(30)]}
        table, offsets = [torch.randn(4, 8, generator=generator)], {}
        for key, file in (("mouse", MOUSE), ("human", HUMAN)):
            offsets[key] = sum(len(part) for part in table)
            vectors = torch.randn(len(species[key]), 8, generator=generator)
            torch.save(dict(zip(species[key], vectors.clone(), strict=True)), folder / file)
            table.append(vectors)
        table.append(torch.randn(10, 8, generator=generator))
        (folder / "species_offsets.pkl").write_bytes(pickle.dumps(offsets))
        lines = ["gene_symbol,chromosome,start,species"]
        for key, names in species.items():
            lines += [f"{gene.upper()},{i % 4},{1000 - 7 * i},{key}" for i, gene in enumerate(names)]
        (folder / "species_chrom.csv").write_text("\n".join(lines) + "\n")
        config = Config(8, 16, 2, 4, 24, (20, 12), (10, 1), 200)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(config, torch.cat(table))
        network.pos_encoder.pe.normal_(generator=generator)
        torch.save(network.state_dict(), folder / "4layer_model.torch")
        for other in extra:
            torch.save(network.state_dict(), folder / other)
        return folder

    return write


@pytest.fixture
def dataset():
    """Counts of 24 cells; two genes are unknown, one cell is empty."""
    import scipy.sparse as sp

    from sceval.data.genes import Genes

    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.gamma(0.5, 3.0, (24, 32))).astype(np.float32)
    counts[5] = 0
    counts[6, :30] = 0  # only unknown genes
    names = [*(f"GENE{i}" if i % 3 else f"Gene{i}" for i in range(30)), "OTHER1", "OTHER2"]
    return SimpleNamespace(
        counts=sp.csr_matrix(counts), genes=Genes.from_symbols(names), cells=[f"cell{i}" for i in range(24)], rng=rng
    )
