from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from sceval.training.device import autocast, choose_device
from sceval.training.loop import LoopSettings, Progress, TrainingError, fit, optimize_step
from sceval.training.optim import make_optimizer
from sceval.training.progress import ProgressLines

CPU = torch.device("cpu")


def line(start=0.0):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, start)
    return model


def squared(model, rows, epoch):
    x = torch.tensor(rows, dtype=torch.float32)[:, None]
    value = ((model(x) - 2 * x) ** 2).mean()
    return value, {"mse": float(value.detach())}


def run(model=None, *, epochs=3, lr=0.01, loss=squared, batches=None, **options):
    model = line() if model is None else model
    settings = {k: options.pop(k) for k in ("gamma", "clip_norm", "patience", "higher_is_better") if k in options}
    history = fit(
        model,
        batches=batches or (lambda epoch: [[1, 2], [3]]),
        loss=loss,
        optimizer=make_optimizer("sgd", model.parameters(), lr=lr),
        settings=LoopSettings(epochs=epochs, **settings),
        device=CPU,
        **options,
    )
    return model, history


def test_learning_rate_falls_once_per_epoch():
    _, history = run(gamma=0.5)
    np.testing.assert_allclose(history.learning_rate, [0.01, 0.005, 0.0025])


def test_losses_are_means_over_cells_not_over_batches():
    _, history = run(epochs=1, lr=0.0, batches=lambda epoch: [[1, 1, 1], [2]])
    assert history.train[0]["mse"] == pytest.approx((3 * 4 + 16) / 4)


def test_weights_and_buffers_of_the_best_epoch_are_kept():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(1), torch.nn.Linear(1, 1))
    scores = iter([3.0, 1.0, 2.0])
    kept = []

    def validate(network):
        assert not network.training
        assert not torch.is_grad_enabled()
        kept.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(scores)

    def loss(network, rows, epoch):
        return network(torch.tensor(rows, dtype=torch.float32)[:, None]).pow(2).mean(), {}

    model, history = run(model, validate=validate, loss=loss, batches=lambda epoch: [[1, 2], [3, 5]])
    assert (history.best_epoch, history.best_value) == (1, 1.0)
    assert all(torch.equal(v, kept[1][k]) for k, v in model.state_dict().items())
    assert not torch.equal(kept[1]["0.running_mean"], kept[2]["0.running_mean"])
    assert not model.training


def test_direction_of_validation_and_early_stopping():
    scores = iter([1.0, 3.0, 2.0, 2.0, 9.0])
    _, history = run(epochs=5, validate=lambda m: next(scores), higher_is_better=True, patience=2)
    assert history.best_epoch == 1
    assert history.validation == [1.0, 3.0, 2.0, 2.0]


def test_a_value_that_is_no_number_never_becomes_the_best():
    scores = iter([float("nan"), 2.0, float("nan")])
    _, history = run(validate=lambda m: next(scores))
    assert history.best_epoch == 1


def test_gradients_are_unscaled_before_they_are_clipped():
    def step(scaler):
        model = line(start=1.0)
        optimizer = make_optimizer("sgd", model.parameters(), lr=0.1)
        norm = optimize_step(
            squared(model, [5], 0)[0], list(model.parameters()), optimizer, clip_norm=1.0, scaler=scaler
        )
        return norm, float(model.weight.detach())

    plain = step(None)
    scaled = step(torch.amp.GradScaler("cpu", init_scale=1024.0))
    assert plain == pytest.approx((50.0, 1.1))
    assert scaled == pytest.approx(plain)


def test_clipping_limits_the_step():
    def after(clip):
        return float(run(epochs=1, clip_norm=clip, batches=lambda e: [[100]], lr=1e-3)[0].weight.detach())

    assert after(1.0) == pytest.approx(1e-3)
    assert after(None) == pytest.approx(40.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_place(bad):
    def loss(model, rows, epoch):
        return model.weight.sum() * (bad if rows == [3] else 1.0) + (bad if rows == [3] else 0.0), {}

    with pytest.raises(TrainingError, match="epoch 1, step 2"):
        run(loss=loss)


def test_an_epoch_without_cells_is_an_error():
    with pytest.raises(TrainingError, match="no training cell"):
        run(batches=lambda epoch: [])


def test_progress_tells_rate_and_remaining_time():
    seen = []
    run(epochs=2, on_progress=seen.append)
    assert [(p.epoch, p.done, p.total) for p in seen] == [(1, 2, 3), (1, 3, 3), (2, 2, 3), (2, 3, 3)]
    assert seen[-1].remaining_s == 0
    assert all(p.rate > 0 for p in seen)
    stream = io.StringIO()
    lines = ProgressLines("train", stream, every_s=1e9)
    for p in seen:
        lines(p)
    assert len(stream.getvalue().splitlines()) == 2
    lines(Progress(1, 2, 30, 60, 0.5, 10.0, 9.0))
    assert "train: epoch 2/2, 3/3 cells" in stream.getvalue()


def test_optimizers_by_name_leave_frozen_parameters_out():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    for name, kind in kinds.items():
        optimizer = make_optimizer(name, model.parameters(), lr=0.1)
        assert type(optimizer) is kind
        assert len(optimizer.param_groups[0]["params"]) == 1
    with pytest.raises(ValueError, match="unknown optimizer 'lion'"):
        make_optimizer("lion", model.parameters(), lr=0.1)
    model.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        make_optimizer("adam", model.parameters(), lr=0.1)


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="unknown device"):
        choose_device("tpu")
    with autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
