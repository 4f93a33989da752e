"""Decoders on top of the backbone: expression, expression from the cell vector, classes, batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _expression_stack(d_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(d_in, width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, 1)
    )


class ExprDecoder(nn.Module):
    """Expression of each gene from its own output vector, and optionally the probability that it is non-zero."""

    def __init__(self, d_in: int, width: int, zero_prob: bool = False) -> None:
        super().__init__()
        self.fc = _expression_stack(d_in, width)
        if zero_prob:
            self.zero_logit = _expression_stack(d_in, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prediction and probability of being non-zero (None without that head), both (cells, positions)."""
        prediction = self.fc(x).squeeze(-1)
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
    """Expression of each gene as the inner product of the cell vector and a query made from the gene vector."""

    def __init__(self, width: int, d_in: int, zero_prob: bool = False) -> None:
        super().__init__()
        self.gene2query = nn.Linear(width, width)
        self.W = nn.Linear(width, d_in, bias=False)
        if zero_prob:
            self.W_zero_logit = nn.Linear(width, d_in)

    def forward(self, cell: Tensor, genes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prediction and probability of being non-zero, both (cells, positions)."""
        query = torch.sigmoid(self.gene2query(genes))
        prediction = (self.W(query) * cell[:, None]).sum(dim=-1)
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
