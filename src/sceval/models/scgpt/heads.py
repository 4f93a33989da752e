"""Decoders on top of the backbone: expression, expression from the cell vector, classes, batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _expression_stack(d_in: int, width: int, n_out: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(d_in, width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, n_out)
    )


class ExprDecoder(nn.Module):
    """Expression of each gene from its own output vector, and optionally the probability that it is non-zero.

    With ``n_bins`` it gives one logit for each bin of the value.
    """

    def __init__(self, d_in: int, width: int, zero_prob: bool = False, n_bins: int = 0) -> None:
        super().__init__()
        self.n_bins = n_bins
        self.fc = _expression_stack(d_in, width, n_bins or 1)
        if zero_prob:
            self.zero_logit = _expression_stack(d_in, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prediction and probability of being non-zero (None without that head), both (cells, positions [, bins])."""
        prediction = self.fc(x) if self.n_bins else self.fc(x).squeeze(-1)
        if not hasattr(self, "zero_logit"):
            return prediction, None
        return prediction, torch.sigmoid(self.zero_logit(x).squeeze(-1))


class AffineExprDecoder(nn.Module):
    """Perturbed expression as coefficient x input value + bias, both from the gene's output vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.coeff_decoder = ExprDecoder(width, width)
        self.bias_decoder = ExprDecoder(width, width)

    def forward(self, x: Tensor, values: Tensor) -> Tensor:
        """Prediction, (cells, positions)."""
        return self.coeff_decoder(x)[0] * values + self.bias_decoder(x)[0]


class MVCDecoder(nn.Module):
    """Expression of each gene as the inner product of the cell vector and a query made from the gene vector.

    With ``n_bins`` the products are not summed up but go through a linear layer to one logit for each bin.
    """

    def __init__(self, width: int, d_in: int, zero_prob: bool = False, n_bins: int = 0) -> None:
        super().__init__()
        self.gene2query = nn.Linear(width, width)
        self.W = nn.Linear(width, d_in, bias=False)
        self.to_bins = nn.Linear(d_in, n_bins) if n_bins else None
        if zero_prob:
            self.W_zero_logit = nn.Linear(width, d_in)

    def forward(self, cell: Tensor, genes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prediction and probability of being non-zero, both (cells, positions)."""
        query = torch.sigmoid(self.gene2query(genes))
        products = self.W(query) * cell[:, None]
        prediction = products.sum(dim=-1) if self.to_bins is None else self.to_bins(products)
        if not hasattr(self, "W_zero_logit"):
            return prediction, None
        return prediction, torch.sigmoid((self.W_zero_logit(query) * cell[:, None]).sum(dim=-1))


class _Classifier(nn.Module):
    """``n_layers - 1`` times linear, activation, LayerNorm; then a linear output layer."""

    def __init__(self, width: int, n_out: int, n_layers: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self._decoder = nn.ModuleList()
        for _ in range(n_layers - 1):
            self._decoder.extend([nn.Linear(width, width), activation(), nn.LayerNorm(width)])
        self.out_layer = nn.Linear(width, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (cells, n_out)."""
        for layer in self._decoder:
            x = layer(x)
        return self.out_layer(x)


class ClsDecoder(_Classifier):
    """Cell classes from the cell vector."""

    def __init__(self, width: int, n_classes: int, n_layers: int = 3) -> None:
        super().__init__(width, n_classes, n_layers, nn.ReLU)


class StudyClassifier(nn.Module):
    """The study's classifier: two layers with batch normalization and Mish, the second half as wide; then linear."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        half = max(width // 2, 1)
        self.mlp = nn.Sequential(
            *(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Mish()),
            *(nn.Linear(width, half), nn.BatchNorm1d(half), nn.Mish()),
        )
        self.out_layer = nn.Linear(half, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (cells, n_classes)."""
        return self.out_layer(self.mlp(x))


class _ReverseGradient(torch.autograd.Function):
    """Identity forward, gradient times -scale backward (Ganin and Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


class AdversarialDiscriminator(_Classifier):
    """Batches from the cell vector; what helps it is taken out of the backbone by gradient reversal."""

    def __init__(self, width: int, n_batches: int, n_layers: int = 3, scale: float = 1.0) -> None:
        super().__init__(width, n_batches, n_layers, nn.LeakyReLU)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (cells, n_batches)."""
        return super().forward(_ReverseGradient.apply(x, self.scale))
