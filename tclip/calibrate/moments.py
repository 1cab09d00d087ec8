"""Sums over the tokens of a layer: all that its ternarization needs, whatever the number of tokens.

N tokens, I inputs, O outputs.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Fit:
    """What a weight is fitted to.

    Attributes:
        moment_II: second moments of the inputs, about their mean where a bias takes up the mean.
        cross_OI: the same between wanted outputs and inputs.
    """

    moment_II: Float[Tensor, "I I"]
    cross_OI: Float[Tensor, "O I"]

    def regressed(self, weight_OI: Float[Tensor, "O I"], ridge: float) -> Float[Tensor, "O I"]:
        """Return the float weight of least output error, drawn towards the given one.

        Minimises E|y - W' x|^2 + r |W' - W|^2 with r = `ridge` times the mean second moment.
        """
        strength = ridge * self.moment_II.diagonal().mean().clamp(min=1e-30)
        eye_II = torch.eye(len(self.moment_II), dtype=torch.float64, device=self.moment_II.device)
        left_II = self.moment_II + strength * eye_II
        right_OI = self.cross_OI + strength * weight_OI.double()
        return torch.linalg.solve(left_II, right_OI.T).T.float()


class Moments:
    """Weighted sums over tokens of x, y, x x^T, y x^T and |y|^2: inputs x, wanted outputs y.

    Products of one call of `add` are summed in the tokens' own precision, which is twice as fast as float64,
    and added up in float64. So that little is left to cancel, x and y are taken about the first call's means.
    """

    def __init__(self, inputs: int, outputs: int, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.weight, self.square = zeros(), zeros()
        self._start_I, self._start_O = zeros(inputs), zeros(outputs)
        self._input_I, self._output_O = zeros(inputs), zeros(outputs)
        self._input_II, self._cross_OI = zeros(inputs, inputs), zeros(outputs, inputs)

    def add(
        self, x_NI: Float[Tensor, "N I"], y_NO: Float[Tensor, "N O"], weight_N: Float[Tensor, " N"]
    ) -> None:
        """Add tokens; those of weight 0 are left out."""
        counts = weight_N > 0
        x_NI, y_NO, weight_N1 = x_NI[counts], y_NO[counts], weight_N[counts, None].to(x_NI.dtype)
        if not len(x_NI):
            return
        if self.weight == 0:
            share_N1 = weight_N1 / weight_N1.sum()
            self._start_I = (x_NI * share_N1).sum(0).double()
            self._start_O = (y_NO * share_N1).sum(0).double()
        self.square += (y_NO.square() * weight_N1).sum(dtype=torch.float64)
        x_NI, y_NO = x_NI - self._start_I.to(x_NI.dtype), y_NO - self._start_O.to(y_NO.dtype)
        weighted_NI, weighted_NO = x_NI * weight_N1, y_NO * weight_N1
        self.weight += weight_N1.sum()
        self._input_I += weighted_NI.sum(0)
        self._output_O += weighted_NO.sum(0)
        self._input_II += x_NI.T @ weighted_NI
        self._cross_OI += y_NO.T @ weighted_NI

    @property
    def input_I(self) -> Float[Tensor, " I"]:
        """Return the sum of x."""
        return self._input_I + self.weight * self._start_I

    @property
    def output_O(self) -> Float[Tensor, " O"]:
        """Return the sum of y."""
        return self._output_O + self.weight * self._start_O

    @property
    def input_II(self) -> Float[Tensor, "I I"]:
        """Return the sum of x x^T."""
        return self._about_zero(self._input_II, self._input_I, self._input_I, self._start_I)

    @property
    def cross_OI(self) -> Float[Tensor, "O I"]:
        """Return the sum of y x^T."""
        return self._about_zero(self._cross_OI, self._output_O, self._input_I, self._start_O)

    def fit(self, refits_bias: bool, bias_O: Float[Tensor, " O"] | None = None) -> Fit:
        """Return what the weight is to be fitted to, normalised by the tokens' weight.

        Args:
            refits_bias: a bias is fitted after the weight, and takes up the mean.
            bias_O: the bias that stays where none is fitted: it is no business of the weight's.
        """
        if not refits_bias:
            cross_OI = self.cross_OI
            if bias_O is not None:
                cross_OI = cross_OI - torch.outer(bias_O.double(), self.input_I)
            return Fit(self.input_II / self.weight, cross_OI / self.weight)
        mean_I, mean_O = self._input_I / self.weight, self._output_O / self.weight
        # above the rounding errors, which are all that is left of a single token
        floor = 1e-6 * self.input_II.diagonal().mean() / self.weight
        eye_II = torch.eye(len(mean_I), dtype=torch.float64, device=mean_I.device)
        return Fit(
            self._input_II / self.weight - mean_I[:, None] * mean_I + floor * eye_II,
            self._cross_OI / self.weight - mean_O[:, None] * mean_I,
        )

    def bias(self, weight_OI: Float[Tensor, "O I"]) -> Float[Tensor, " O"]:
        """Return the bias of least error beside a weight: it makes the mean outputs equal."""
        return ((self.output_O - weight_OI.double() @ self.input_I) / self.weight).float()

    def error(self, weight_OI: Float[Tensor, "O I"], bias_O: Float[Tensor, " O"] | None) -> float:
        """Return E|y - (W x + b)|^2 / E|y|^2, at least 0."""
        weight_OI = weight_OI.double()
        bias_O = torch.zeros_like(self.output_O) if bias_O is None else bias_O.double()
        given = ((weight_OI @ self.input_II) * weight_OI).sum() + self.weight * bias_O.square().sum()
        given += 2 * bias_O @ (weight_OI @ self.input_I)
        both = (weight_OI * self.cross_OI).sum() + bias_O @ self.output_O
        return float(((self.square - 2 * both + given) / self.square.clamp(min=1e-30)).clamp(min=0))

    def _about_zero(self, product_AI: Tensor, left_A: Tensor, right_I: Tensor, start_A: Tensor) -> Tensor:
        """Return a sum of products as it were without the shift of both sides."""
        shifts = torch.outer(left_A, self._start_I) + torch.outer(start_A, right_I)
        return product_AI + shifts + self.weight * torch.outer(start_A, self._start_I)
