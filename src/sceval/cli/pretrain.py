"""`sceval pretrain`: a checkpoint in the official layout from any cells."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import click

MODELS = ("scgpt", "geneformer", "tgpt", "scbert", "cellm")
"""Models that can be pre-trained."""


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--genes", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Gene symbols, one a line.")
@click.option("--cells", type=click.IntRange(0), default=0, help="Cells to keep of all files together; 0 = all.")
@click.option("--params", default="{}", show_default=True, help="Hyper-parameters: a JSON object.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def pretrain(
    model: str, files: tuple[Path, ...], out: Path, genes: Path | None, cells: int, params: str, seed: int, device: str
) -> None:
    r"""Pre-train MODEL on the cells of FILES (AnnData with raw counts, or embedded:NAME) without labels.

    Objectives: scgpt masked values and values from the cell vector; geneformer and scbert masked tokens; tgpt the next
    token; cellm masked tokens and contrast.

    \b
    Example:
      sceval pretrain tgpt pbmc.h5ad --out weights/my-tgpt --params '{"epochs": 5, "d_model": 128}'
    """
    from sceval.models.params import check_params
    from sceval.models.transformer.corpus import read_corpus
    from sceval.models.transformer.pretrain import pretrain as train
    from sceval.models.transformer.pretrain import write_checkpoint
    from sceval.training.progress import ProgressLines

    try:
        given = json.loads(params)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON ({error})", param_hint="--params") from error
    described = import_module(f"sceval.models.{model}.program").MODEL
    problems = check_params(given, {param.name: param.schema() for param in described.info.params}, "--params")
    if problems:
        raise click.BadParameter("\n".join(problems), param_hint="--params")
    wanted = genes.read_text(encoding="utf-8").split() if genes else None
    try:
        corpus = read_corpus(files, wanted, cells)
        click.echo(f"{corpus.counts.shape[0]} cells x {corpus.counts.shape[1]} genes", err=True)
        loaded, facts = train(
            described,
            corpus,
            given,
            seed=seed,
            device=device,
            on_progress=ProgressLines(f"{model} pretrain", every_s=5),
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    write_checkpoint(described, loaded, facts, out)
    first, best = facts["held_loss_untrained"], min(facts["held_loss"])
    click.echo(f"{out}: held-out loss {first:.4f} untrained, {best:.4f} after epoch {facts['best_epoch']}")
