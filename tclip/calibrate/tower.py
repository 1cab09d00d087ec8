"""One tower, layer by layer: each layer is fitted on what the ternary layers before it pass on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor, nn

from tclip.calibrate.importance import token_weights
from tclip.calibrate.layer import (
    Chunk,
    Outcome,
    calibrate_layer,
    refit_bias,
    refit_norm,
    sum_tokens,
    tokens,
    weight_name,
)
from tclip.calibrate.steps import Step, find_steps
from tclip.calibrate.walk import BEFORE, BEHIND, Embed, Walk, find_blocks
from tclip.models.clip import Inputs
from tclip.recipe.schema import Calibrate, Quantize
from tclip.ternary.tensor import TernaryTensor

LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
Found = Callable[[str, Outcome], None]


@dataclass
class Tower:
    """One tower of the original and of the student, and what is to become of it.

    Attributes:
        original, student: the whole models; the student is changed in place.
        embeds: their embeddings of this tower's inputs.
        names: all parameters of the tower.
        ternary: those to become ternary.
    """

    original: nn.Module
    student: nn.Module
    embeds: tuple[Embed, Embed]
    names: Sequence[str]
    ternary: frozenset[str]

    def calibrate(
        self, chunks: Sequence[Inputs], quantize: Quantize, settings: Calibrate, found: Found
    ) -> dict[str, TernaryTensor]:
        """Calibrate every layer that runs; return the codes and scales by parameter.

        Args:
            chunks: the tower's inputs.
            quantize, settings: of the recipe.
            found: told of each ternary parameter and its outcome.
        """
        self._quantize, self._settings, self._found = quantize, settings, found
        self._tensors: dict[str, TernaryTensor] = {}
        parts = self._parts()
        layers = {name: module for name, module in parts.items() if isinstance(module, LAYERS[:2])}
        self._weights = token_weights(self.embeds[0], layers, chunks)
        with torch.no_grad():
            self._walk(
                Walk((self.original, self.student), self.embeds, find_blocks(self.names), chunks), parts
            )
        return self._tensors

    def _parts(self) -> dict[str, nn.Module]:
        """Return the tower's norms and layers by name."""
        owners = dict.fromkeys(name.rpartition(".")[0] for name in self.names)
        modules = {name: self.original.get_submodule(name) for name in owners}
        return {
            name: module for name, module in modules.items() if isinstance(module, (*LAYERS, nn.LayerNorm))
        }

    def _walk(self, walk: Walk, parts: dict[str, nn.Module]) -> None:
        waiting = list(parts)
        for segment in walk.segments:
            seen = walk.order(segment, waiting)
            waiting = [name for name in waiting if name not in dict(seen)]
            steps = find_steps(seen, parts, in_block=segment not in (BEFORE, BEHIND))
            for step, following in zip_longest(steps, steps[1:]):
                if step.is_norm:
                    self._norm(walk, segment, step, following)
                else:
                    self._layers(walk, segment, step)
            walk.leave(segment)

    def _norm(self, walk: Walk, segment: str, step: Step, following: Step | None) -> None:
        if not self._settings.refit:
            return
        (name,) = step.names
        reader = name if following is None else following.names[0]
        chunks = (
            (ours[name], theirs[name], self._weight(reader, index, ours[name].flatten(0, -2)))
            for index, (ours, theirs) in enumerate(walk.inputs(segment, step.names))
        )
        refit_norm(self.original.get_submodule(name), self.student.get_submodule(name), chunks)

    def _layers(self, walk: Walk, segment: str, step: Step) -> None:
        for name in step.names:
            module, student = self.original.get_submodule(name), self.student.get_submodule(name)
            parameter = f"{name}.{weight_name(module)}"
            if parameter not in self.ternary and not self._settings.refit:
                continue
            moments = sum_tokens(module, self._chunks(walk, segment, step, name))
            if parameter not in self.ternary:
                refit_bias(student, moments)
                continue
            outcome = calibrate_layer(module, student, moments, self._quantize, self._settings)
            self._tensors[parameter] = outcome.ternary
            self._found(parameter, outcome)

    def _chunks(self, walk: Walk, segment: str, step: Step, name: str) -> Iterator[Chunk]:
        module = self.original.get_submodule(name)
        recorded = [name, *([step.residual] if step.residual else [])]
        for index, (ours, theirs) in enumerate(walk.inputs(segment, recorded)):
            lacking = ours[step.residual] - theirs[step.residual] if step.residual else None
            yield ours[name], theirs[name], self._weight(name, index, tokens(module, ours[name])), lacking

    def _weight(self, name: str, chunk: int, x_NI: Tensor) -> Tensor:
        """Return how much each token of a layer counts: all the same where nothing is known of it."""
        known = self._weights.get(name)
        if known is None or len(known[chunk]) != len(x_NI):
            return torch.ones(len(x_NI), device=x_NI.device)
        return known[chunk]
