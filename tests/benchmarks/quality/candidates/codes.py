"""What is done to latent weights near the thresholds of their codes.

O outputs, I inputs; R rows with scales, G groups a row, N weights to a scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from tclip.data.loader import Batch
from tclip.distill.loop import Trainer
from tclip.ternary.granularity import grouped
from tclip.ternary.latent import LatentTernary, latent_weights, owner


class DeadZone(Trainer):
    """Weights of code 0 add a thousandth of themselves to their output's bias (Tequila, arXiv 2509.23809).

    So they get a gradient of their own. At the end the sums become part of the biases.
    """

    passed_on = 1e-3

    def run(self, batches: Iterator[Batch]) -> None:
        layers = list(_linears(self.student.model))
        hooks = [
            module.register_forward_hook(
                lambda _, __, output_O, latent=latent, weight=weight: (
                    output_O + self._bias(latent, weight).to(output_O.dtype)
                )
            )
            for module, latent, weight in layers
        ]
        try:
            super().run(batches)
        finally:
            for hook in hooks:
                hook.remove()
        with torch.no_grad():
            for module, latent, weight in layers:
                module.bias += self._bias(latent, weight)

    def _bias(self, latent: LatentTernary, weight_OI: Tensor) -> Float[Tensor, "O"]:
        dead_OI = torch.where(latent.ternary(weight_OI).codes == 0, weight_OI, 0)
        return self.passed_on * dead_OI.sum(1)


class Gated(Trainer):
    """A latent weight beyond the clip, |w| > s, gets no gradient (LSQ, arXiv 1902.08153, eq. 5)."""

    def run(self, batches: Iterator[Batch]) -> None:
        hooks = [
            weight.register_hook(partial(_inside, latent, weight))
            for _, latent, weight in latent_weights(self.student.model)
        ]
        try:
            super().run(batches)
        finally:
            for hook in hooks:
                hook.remove()


def _inside(latent: LatentTernary, weight: Tensor, grad: Tensor) -> Tensor:
    weight_RGN = grouped(weight.detach(), latent.granularity)
    scale_RG1 = latent.ternary(weight).scale_RG[:, :, None]
    return grad * (weight_RGN.abs() <= scale_RG1).reshape(weight.shape)


def _linears(model: nn.Module) -> Iterator[tuple[nn.Linear, LatentTernary, Tensor]]:
    """Yield the linear layers with a bias whose weights are trained as ternary ones."""
    for name, latent, weight in latent_weights(model):
        module, _ = owner(model, name)
        if isinstance(module, nn.Linear) and module.bias is not None:
            yield module, latent, weight


@dataclass
class Oscillation:
    """What is known of the codes of one weight.

    Attributes:
        codes: of the last step.
        direction: which way each last moved, 0 if never.
        returns: how often, of late, it moved back where it came from: a running mean.
        mean: of its codes, a running mean.
        frozen: no longer moved.
        value: what a frozen latent weight is held at.
    """

    codes: Int8[Tensor, "..."]
    direction: Int8[Tensor, "..."]
    returns: Tensor
    mean: Tensor
    frozen: Tensor
    value: Tensor


class Freezing(Trainer):
    """Codes that go to and fro are frozen where they are most of the time (arXiv 2203.11086)."""

    momentum = 0.02
    most_returns = 0.04

    def _step(self, batch: Batch, progress: float) -> tuple[dict[str, float], float]:
        result = super()._step(batch, progress)
        known = self.__dict__.setdefault("known", {})
        with torch.no_grad():
            for name, latent, weight in latent_weights(self.student.model):
                if not isinstance(owner(self.student.model, name)[0], nn.Embedding):
                    self._freeze(known, name, latent, weight)
        return result

    def _freeze(
        self, known: dict[str, Oscillation], name: str, latent: LatentTernary, weight: Tensor
    ) -> None:
        ternary = latent.ternary(weight)
        if name not in known:
            nothing = torch.zeros_like(weight)
            still = torch.zeros_like(ternary.codes)
            known[name] = Oscillation(
                ternary.codes, still, nothing.clone(), ternary.codes.float(), still.bool(), nothing.clone()
            )
            return
        state = known[name]
        moved = (ternary.codes - state.codes).sign()
        state.returns.lerp_(((moved != 0) & (moved == -state.direction)).float(), self.momentum)
        state.direction = torch.where(moved != 0, moved, state.direction)
        state.mean.lerp_(ternary.codes.float(), self.momentum)
        new = (state.returns > self.most_returns) & ~state.frozen
        scale_RG1 = ternary.scale_RG[:, :, None]
        settled = (state.mean.round().reshape(*ternary.scale_RG.shape, -1) * scale_RG1).reshape(weight.shape)
        state.value = torch.where(new, settled, state.value)
        state.frozen |= new
        weight.copy_(torch.where(state.frozen, state.value, weight))
        state.codes = latent.ternary(weight).codes
