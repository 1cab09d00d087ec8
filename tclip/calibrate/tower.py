"""One tower, layer by layer: each layer is fitted on what the ternary layers before it pass on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from tclip.calibrate.importance import importance, weight_of
from tclip.calibrate.layer import (
    Chunk,
    Outcome,
    calibrate_layer,
    calibrate_table,
    refit_bias,
    refit_norm,
    sum_tokens,
    tokens,
    weight_name,
)
from tclip.calibrate.steps import Step, find_steps
from tclip.calibrate.walk import BEFORE, BEHIND, Embed, Walk, find_blocks
from tclip.models.clip import Inputs
from tclip.recipe.quantize import Quantize
from tclip.recipe.schema import Calibrate

LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)
Found = Callable[[str, Outcome], None]


@dataclass
class Tower:
    """One tower of the original and of the student, and what is to become of it.

    Attributes:
        original, student: the whole models; the student is changed in place.
        embeds: their embeddings of this tower's inputs.
        names: all parameters of the tower.
        bits: of those that are to become codes and scales: 4 or 8, or None of ternary ones.
    """

    original: nn.Module
    student: nn.Module
    embeds: tuple[Embed, Embed]
    names: Sequence[str]
    bits: Mapping[str, int | None]

    def calibrate(
        self, chunks: Sequence[Inputs], quantize: Quantize, settings: Calibrate, found: Found
    ) -> None:
        """Calibrate every layer that runs.

        Args:
            chunks: the tower's inputs.
            quantize, settings: of the recipe.
            found: told of each parameter with codes, and its outcome.
        """
        self._quantize, self._settings, self._found = quantize, settings, found
        parts = parts_of(self.original, self.names)
        tables = tables_of(self.original, self.bits)
        self._importance = importance(self.embeds[0], parts | tables, chunks)
        if not settings.outputs:
            self._importance.outputs.clear()
        if settings.method == "gptq":
            self._tables(tables)
        with torch.no_grad():
            self._walk(
                Walk((self.original, self.student), self.embeds, find_blocks(self.names), chunks), parts
            )

    def _tables(self, tables: Mapping[str, nn.Embedding]) -> None:
        for name, table in tables.items():
            if name in self._importance.outputs:
                student: Any = self.student.get_submodule(name)
                bits, output_OO = self.bits[f"{name}.weight"], self._importance.outputs[name]
                self._found(
                    f"{name}.weight", calibrate_table(table, student, output_OO, self._quantize, bits)
                )

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
            (
                ours[name],
                theirs[name],
                weight_of(self._importance.tokens, reader, index, ours[name].flatten(0, -2)),
            )
            for index, (ours, theirs) in enumerate(walk.inputs(segment, step.names))
        )
        refit_norm(self.original.get_submodule(name), self.student.get_submodule(name), chunks)

    def _layers(self, walk: Walk, segment: str, step: Step) -> None:
        for name in step.names:
            module, student = self.original.get_submodule(name), self.student.get_submodule(name)
            parameter = f"{name}.{weight_name(module)}"
            if parameter not in self.bits and not self._settings.refit:
                continue
            moments = sum_tokens(module, self._chunks(walk, segment, step, name))
            if parameter not in self.bits:
                refit_bias(student, moments)
                continue
            bits, output_OO = self.bits[parameter], self._importance.outputs.get(name)
            outcome = calibrate_layer(
                module, student, moments, self._quantize, self._settings, bits, output_OO
            )
            self._found(parameter, outcome)

    def _chunks(self, walk: Walk, segment: str, step: Step, name: str) -> Iterator[Chunk]:
        module = self.original.get_submodule(name)
        recorded = [name, *([step.residual] if step.residual else [])]
        for index, (ours, theirs) in enumerate(walk.inputs(segment, recorded)):
            lacking = ours[step.residual] - theirs[step.residual] if step.residual else None
            weight_N = weight_of(self._importance.tokens, name, index, tokens(module, ours[name]))
            yield ours[name], theirs[name], weight_N, lacking


def parts_of(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    """Return the norms and layers that own the named parameters, by name."""
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    modules = {name: model.get_submodule(name) for name in owners}
    return {name: module for name, module in modules.items() if isinstance(module, (*LAYERS, nn.LayerNorm))}


def tables_of(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Embedding]:
    """Return the embedding tables that own the named parameters, by name."""
    owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
    modules = {name: model.get_submodule(name) for name in owners}
    return {name: module for name, module in modules.items() if isinstance(module, nn.Embedding)}
