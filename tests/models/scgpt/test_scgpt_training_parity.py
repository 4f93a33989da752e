"""Losses, gradients and Adam steps against the official code's numbers, in float32 and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.scgpt.checkpoint import load_checkpoint
from sceval.models.scgpt.objectives import TensorBatch, weighted_loss
from sceval.models.scgpt.regimes import freeze
from sceval.training.loop import optimize_step
from sceval.training.optim import make_optimizer

CHECKPOINTS = {
    "train_integration_zk": "ckpt_integration",
    "train_integration_zd": "ckpt_integration",
    "train_annotation": "ckpt_annotation",
    "train_annotation_freeze": "ckpt_annotation",
    "train_base": "ckpt_native",
    "train_perturb": "ckpt_perturb",
}
CASES = [(name, dtype) for name in CHECKPOINTS for dtype in ("float32", "float64")]


class Case:
    """One training file in one number format."""

    def __init__(self, parity, name, dtype):
        self.z = parity.expected(name)
        self.prefix = "f64/" if dtype == "float64" else ""
        self.double = dtype == "float64"
        self.first, self.later = (1e-6, 1e-6) if self.double else (1e-4, 1e-3)
        self.settings = parity.settings
        self.name = name
        self.folder = parity.folder / CHECKPOINTS[name]
        threshold = parity.settings["checkpoints"][CHECKPOINTS[name]].get("ecs_threshold")
        self.ecs = {} if threshold is None else {"ecs_threshold": threshold}
        self.totals = parity.settings["training"]["totals"][name]

    def expected(self, key):
        return self.z[self.prefix + key]

    def model(self):
        model = load_checkpoint(self.folder, dropout=0.0)[0]
        if self.name.endswith("_freeze"):
            freeze(model, "embeddings")
        return (model.double() if self.double else model).train()

    def batch(self):
        def get(key, kind=None):
            value = self.z.get(f"in/{key}")
            if value is None:
                return None
            tensor = torch.from_numpy(value)
            return tensor.double() if kind == "real" and self.double else tensor

        values = get("values", "real")
        return TensorBatch(
            gene_ids=get("gene_ids"),
            values=values,
            pad_mask=get("pad_mask"),
            target=get("target_values", "real"),
            mask=values == self.settings["mask_value"],
            batch_labels=get("batch_labels"),
            classes=get("celltype_labels"),
            pert_flags=get("pert_flags"),
        )


def gradient_norm(parameters):
    return torch.sqrt(sum((p.grad**2).sum() for p in parameters if p.grad is not None))


def parameter_norm(model):
    return float(torch.sqrt(sum((p.detach() ** 2).sum() for p in model.parameters())))


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_each_term_alone(parity, close, name, dtype):
    case = Case(parity, name, dtype)
    terms = {term for total in case.totals.values() for term in total}
    for term in sorted(terms):
        model = case.model()
        loss, _ = weighted_loss(model, case.batch(), {term: 1.0}, **case.ecs)
        loss.backward()
        close(loss, case.expected(f"loss_{term}"), case.first)
        close(gradient_norm(model.parameters()), case.expected(f"grad_norm_of_{term}"), case.first)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_first_gradients(parity, close, name, dtype):
    case = Case(parity, name, dtype)
    for total, weights in case.totals.items():
        model = case.model()
        close(parameter_norm(model), case.expected(f"{total}_initial_param_norm"), case.first)
        loss, _ = weighted_loss(model, case.batch(), weights, **case.ecs)
        loss.backward()
        close(loss, case.expected(f"{total}_loss"), case.first)
        close(gradient_norm(model.parameters()), case.expected(f"{total}_grad_norm"), case.first)
        own = dict(model.named_parameters())
        names = [str(n) for n in case.z["param_names"]]
        assert sorted(own) == sorted(names)
        norms = [np.nan if own[n].grad is None else float(own[n].grad.norm()) for n in names]
        expected = case.expected(f"{total}_grad_norm_per_param")
        np.testing.assert_array_equal(np.isnan(norms), np.isnan(expected))
        close(norms, expected, case.first)
        start = f"{case.prefix}{total}_grad/"
        for key in [k for k in case.z if k.startswith(start)]:
            close(own[key.removeprefix(start)].grad, case.z[key], case.first)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_adam_steps(parity, close, name, dtype):
    case = Case(parity, name, dtype)
    training = case.settings["training"]
    for total, weights in case.totals.items():
        for variant, options in training["variants"].items():
            key = f"{total}_{variant}_"
            model, batch = case.model(), case.batch()
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            parameters = list(model.parameters())
            optimizer = make_optimizer("adam", parameters, lr=training["lr"], eps=options["eps"])
            seen = {"loss": [], "grad_norm": [], "param_norm": [], **{term: [] for term in weights}}
            for _ in range(training["steps"]):
                loss, terms = weighted_loss(model, batch, weights, **case.ecs)
                norm = optimize_step(loss, parameters, optimizer, clip_norm=options["clip_global_norm"])
                values = {"loss": float(loss.detach()), "grad_norm": norm, **terms, "param_norm": parameter_norm(model)}
                for what, value in values.items():
                    seen[what].append(value)
            for what, values in seen.items():
                expected = case.expected(f"{key}{what}_per_step")
                close(values[:1], expected[:1], case.first)
                close(values, expected, case.later)
            own = dict(model.named_parameters())
            names = [str(n) for n in case.z["param_names"]]
            close([float(own[n].detach().norm()) for n in names], case.expected(f"{key}param_norm_per_param"), 1e-3)
            if case.double or options["eps"] > 1e-6:
                # Without a larger epsilon, float32 Adam turns the noise of zero gradients into full steps.
                moved = [float((own[n].detach() - before[n]).norm()) for n in names]
                close(moved, case.expected(f"{key}update_norm_per_param"), case.later)
            buffers = dict(model.named_buffers())
            start = f"{case.prefix}{key}buffer/"
            for full in [k for k in case.z if k.startswith(start)]:
                close(buffers[full.removeprefix(start)], case.z[full], case.later)
            model.eval()
            with torch.no_grad():
                flags = batch.pert_flags
                out = model(batch.gene_ids, batch.values, batch.pad_mask, batch.batch_labels, pert_flags=flags)
            result = out.expression if batch.pert_flags is not None else out.cell
            if case.double or options["eps"] > 1e-6 or not model.config.n_domains:
                # DSBN cancels value_encoder.norm.bias in training: its gradient is noise, its full steps show here.
                close(result, case.expected(f"{key}eval_cell_emb"), case.later)
