"""The network against the official code's numbers (../shared/parity/scgpt)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.scgpt import losses
from sceval.models.scgpt.checkpoint import load_checkpoint
from sceval.models.scgpt.network import normalize_cells
from sceval.models.scgpt.perturbation import predict_perturbed


@pytest.fixture
def load(parity):
    def loaded(name):
        return load_checkpoint(parity.folder / name)[0]

    return loaded


def tensors(z, *names, prefix=""):
    return [torch.from_numpy(z[prefix + name]) for name in names]


@pytest.mark.parametrize("checkpoint", ["ckpt_flash", "ckpt_native", "ckpt_impl"])
@pytest.mark.parametrize("case", ["full_one", "full_both", "sampled_one"])
@torch.no_grad()
def test_zero_shot_vectors(parity, load, close, checkpoint, case):
    z = parity.expected("zeroshot")
    cells = load(checkpoint).encode_cells(*tensors(z, "gene_ids", "values", "pad_mask", prefix=f"{case}_"))
    close(cells, z[f"{case}_cls_raw"])
    close(normalize_cells(cells), z[f"{case}_cls_norm"])


@torch.no_grad()
def test_components(parity, load, close):
    z = parity.expected("components")
    model = load("ckpt_native")
    close(model.encoder(torch.arange(len(z["gene_table"]))), z["gene_table"])
    close(model.value_encoder(torch.from_numpy(z["value_probe_in"])), z["value_probe_out"])
    gene_ids, values, pad_mask = tensors(z, "tok_gene_ids", "tok_values", "tok_pad_mask")
    _, x = model.embed_inputs(gene_ids, values)
    expected = z["input_sum"]
    close(x, expected)
    keep = ~pad_mask[:, None, None, :]
    query, key, _ = model.transformer_encoder.layers[0].self_attn.project(x, n_queries=1)
    scores = (query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5).masked_fill(~keep, -torch.inf)
    close(scores.softmax(-1)[:, :, 0], z["layer0_attn_cls_row"])
    for i, layer in enumerate(model.transformer_encoder.layers):
        x = layer(x, keep)
        close(x, z[f"layer{i}_out"])


@torch.no_grad()
def test_forward_base(parity, load, close):
    z = parity.expected("forward_base")
    model = load("ckpt_native")
    gene_ids, values, target, pad_mask = tensors(z, "gene_ids", "values", "target_values", "pad_mask")
    out = model(gene_ids, values, pad_mask, mvc=True)
    close(out.expression, z["mlm_output"])
    close(out.mvc, z["mvc_output"])
    close(out.cell, z["cell_emb"])
    close(losses.elastic_cell_similarity(out.cell, float(z["ecs_threshold"])), z["loss_ecs"])
    close(losses.contrastive_cells(out.cell, model(gene_ids, values, pad_mask).cell), z["loss_cce"])
    hidden = values == parity.settings["mask_value"]
    close(losses.masked_mse(out.expression, target, hidden), z["masked_mse_mlm"])
    close(losses.masked_mse(out.mvc, target, hidden), z["masked_mse_mvc"])
    cell = torch.from_numpy(z["generate_cell_emb_in"])
    close(model.generate(cell, gene_ids, values, pad_mask), z["generate_with_values"])
    close(model.generate(cell, gene_ids, None, pad_mask), z["generate_without_values"])


@pytest.mark.parametrize("zeros", ["zk", "zd"])
@torch.no_grad()
def test_forward_integration(parity, load, close, zeros):
    z = parity.expected("forward_integration")
    model = load("ckpt_integration")
    for batch in range(len(parity.settings["batch_categories"])):
        p = f"{zeros}_b{batch}_"
        names = ("gene_ids", "values", "pad_mask", "batch_labels", "target_values")
        gene_ids, values, pad_mask, labels, target = tensors(z, *names, prefix=p)
        out = model(gene_ids, values, pad_mask, labels, mvc=True, classes=True, batches=True)
        close(out.expression, z[p + "mlm_output"])
        close(out.zero_prob, z[p + "mlm_zero_probs"])
        close(out.mvc, z[p + "mvc_output"])
        close(out.mvc_zero_prob, z[p + "mvc_zero_probs"])
        close(out.cell, z[p + "cell_emb"])
        close(out.classes, z[p + "cls_output"])
        close(out.batches, z[p + "dab_output"])
        close(losses.elastic_cell_similarity(out.cell, float(z["ecs_threshold"])), z[p + "loss_ecs"])
        again = model.encode_cells(gene_ids, values, pad_mask, labels)
        close(losses.contrastive_cells(out.cell, again), z[p + "loss_cce"])
        unmasked = normalize_cells(model.encode_cells(gene_ids, target, pad_mask, labels))
        close(unmasked, z[p + "encode_batch_unmasked_cls_norm"])


@torch.no_grad()
def test_forward_annotation(parity, load, close):
    z = parity.expected("forward_annotation")
    gene_ids, values, pad_mask, labels = tensors(z, "gene_ids", "values", "pad_mask", "celltype_labels")
    out = load("ckpt_annotation")(gene_ids, values, pad_mask, classes=True)
    close(out.classes, z["cls_output"])
    np.testing.assert_array_equal(out.classes.argmax(1), z["predicted"])
    close(out.cell, z["cell_emb"])
    close(out.expression, z["mlm_output"])
    close(torch.nn.functional.cross_entropy(out.classes, labels), z["loss_cls"])


@torch.no_grad()
def test_forward_bn(parity, load, close):
    z = parity.expected("forward_bn")
    out = load("ckpt_bn")(*tensors(z, "gene_ids", "values", "pad_mask"), mvc=True)
    close(out.cell, z["cell_emb"])
    close(out.expression, z["mlm_output"])
    close(out.mvc, z["mvc_output"])


@torch.no_grad()
def test_forward_perturb(parity, load, close):
    z = parity.expected("forward_perturb")
    model = load("ckpt_perturb")
    gene_ids, values, flags, large = tensors(z, "gene_ids", "values", "pert_flags", "large_values")
    close(model(gene_ids, values, pert_flags=flags).expression, z["mlm_output"])
    close(model(gene_ids, large, pert_flags=flags).expression, z["large_values_mlm_output"])
    columns = torch.from_numpy(z["subset_columns"])
    subset = model(gene_ids[:, columns], values[:, columns], pert_flags=flags[:, columns])
    close(subset.expression, z["subset_mlm_output"])
    close(predict_perturbed(model, gene_ids[0], values, flags), z["pred_all"])
    chosen = predict_perturbed(model, gene_ids[0], values, flags, include_zero_genes="batch-wise")
    close(chosen, z["pred_batchwise"])
    assert (chosen[:, ~torch.from_numpy(z["batchwise_gene_used"])] == 0).all()


@torch.no_grad()
def test_forward_perturb_legacy(parity, load, close):
    z = parity.expected("forward_perturb_legacy")
    gene_ids, values, flags = tensors(z, "gene_ids", "values", "pert_flags")
    close(load("ckpt_perturb_legacy")(gene_ids, values, pert_flags=flags).expression, z["mlm_output"])


def test_losses(parity, close):
    z = parity.expected("losses")
    prediction, target, mask, probs = tensors(z, "pred", "target", "mask", "probs")
    close(losses.masked_mse(prediction, target, mask), z["masked_mse"])
    close(losses.masked_bernoulli_nll(probs, target, mask), z["neg_log_bernoulli"])
    close(losses.masked_relative_error(prediction, target, mask), z["masked_relative_error"])
    close(losses.bernoulli_nll(probs, target), z["neg_log_bernoulli_elementwise"])
