"""Models walked side by side through one tower, so that no layer is computed more often than needed.

A tower is cut into segments: what lies before its blocks, each block, what lies behind them. The hidden
states in front of a block are kept, so a block's layers are reached without running what lies before.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from tclip.models.clip import Inputs

BEFORE, BEHIND = "(before the blocks)", "(behind the blocks)"
Embed = Callable[[Inputs], Tensor]
_BLOCK = re.compile(r"(.*?\.)(\d+)\.")


class _Seen(Exception):
    """Everything that was asked for has been seen: the rest of the forward pass is not needed."""


def find_blocks(parameter_names: Iterable[str]) -> list[str]:
    """Return the names of a tower's blocks, in order: the longest run of numbered modules."""
    blocks = [match.groups() for name in parameter_names if (match := _BLOCK.match(name))]
    if not blocks:
        return []
    (stem, _), *_ = Counter((stem, 0) for stem, _ in set(blocks)).most_common(1)[0]
    return [f"{stem}{number}" for number in sorted({int(n) for s, n in blocks if s == stem})]


class _AtBlocks(Exception):
    """The forward pass has come to the first block."""


class Walk:
    """One model, or the original and the student, at the same place of one tower.

    Attributes:
        segments: names of the segments, in order.
    """

    def __init__(
        self,
        models: tuple[nn.Module, ...],
        embeds: tuple[Embed, ...],
        blocks: Sequence[str],
        chunks: Sequence[Inputs],
    ) -> None:
        self._models, self._embeds, self._blocks, self._chunks = models, embeds, list(blocks), chunks
        self.segments = [BEFORE, *blocks, BEHIND] if blocks else [BEHIND]
        self._hidden: tuple[list[Tensor], ...] = tuple([] for _ in models)
        self._calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._num_outputs = 0  # of a block, 0 if it returns a tensor by itself

    def order(self, segment: str, names: Iterable[str]) -> list[tuple[str, Tensor]]:
        """Return which of the named modules run in a segment, in order, each with its first input."""
        seen: list[tuple[str, Tensor]] = []
        modules = {name: self._models[0].get_submodule(name) for name in names}
        with _hooked(modules, lambda name, x: seen.append((name, x))):
            self._run(0, segment, 0)
        return seen

    def inputs(self, segment: str, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], ...]]:
        """Yield the named modules' inputs chunk by chunk, of each model: (the original's, the student's)."""
        for chunk in range(len(self._chunks)):
            yield tuple(self._inputs(which, segment, names, chunk) for which in range(len(self._models)))

    def embeddings(self, segment: str) -> Tensor:
        """Return the first model's embeddings of all chunks, running only from a segment on.

        What lies before the blocks, which is little, is run again too, and passed over. The walk must be at
        the segment, or the segment be BEFORE.
        """
        passed = self._passed(segment)
        return torch.cat([self._embedding(passed, chunk) for chunk in range(len(self._chunks))])

    def leave(self, segment: str) -> None:
        """Go on to the next segment: what was computed before it is fixed from now on."""
        if segment == BEFORE:
            self._enter_blocks()
        elif segment != BEHIND:
            for which in range(len(self._models)):
                for chunk in range(len(self._chunks)):
                    self._hidden[which][chunk] = self._run(which, segment, chunk)

    def _inputs(self, which: int, segment: str, names: Sequence[str], chunk: int) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def see(name: str, x: Tensor) -> None:
            seen[name] = x
            if len(seen) == len(set(names)):
                raise _Seen

        modules = {name: self._models[which].get_submodule(name) for name in names}
        with _hooked(modules, see), suppress(_Seen):
            self._run(which, segment, chunk)
        return seen

    def _run(self, which: int, segment: str, chunk: int) -> Any:
        if segment == BEHIND:
            return self._embeds[which](self._chunks[chunk])
        if segment == BEFORE:
            return self._until_blocks(which, chunk)
        args, kwargs = self._calls[chunk]
        output = self._models[which].get_submodule(segment)(self._hidden[which][chunk], *args, **kwargs)
        self._num_outputs = len(output) if isinstance(output, tuple) else 0
        return output[0] if isinstance(output, tuple) else output

    def _passed(self, segment: str) -> list[Any]:
        if segment == BEHIND:
            return [self._models[0].get_submodule(block) for block in self._blocks]
        before = self._blocks[: self._blocks.index(segment)] if segment in self._blocks else []
        return [self._models[0].get_submodule(block) for block in before]

    def _embedding(self, passed: list[Any], chunk: int) -> Tensor:
        """Embed a chunk while the blocks that were passed only give the hidden states behind them."""

        def give(*_args: Any, **_kwargs: Any) -> Any:
            hidden = self._hidden[0][chunk]
            return (hidden, *[None] * (self._num_outputs - 1)) if self._num_outputs else hidden

        for block in passed:
            block.forward = give
        try:
            return self._embeds[0](self._chunks[chunk])
        finally:
            for block in passed:
                del block.forward

    def _until_blocks(self, which: int, chunk: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Run what lies before the blocks; return what the first one is called with."""
        caught: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

        def catch(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caught.append((args, kwargs))
            raise _AtBlocks

        first = self._models[which].get_submodule(self._blocks[0])
        handle = first.register_forward_pre_hook(catch, with_kwargs=True)
        try:
            with suppress(_AtBlocks):
                self._embeds[which](self._chunks[chunk])
        finally:
            handle.remove()
        return caught[0]

    def _enter_blocks(self) -> None:
        for which in range(len(self._models)):
            for chunk in range(len(self._chunks)):
                args, kwargs = self._until_blocks(which, chunk)
                hidden = args[0] if args else kwargs.pop("hidden_states")
                self._hidden[which].append(hidden)
                if which == 0:
                    self._calls.append((args[1:], kwargs))


@contextmanager
def _hooked(modules: dict[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    def hook(name: str) -> Callable[..., None]:
        return lambda _module, args, kwargs: see(name, first_input(args, kwargs))

    handles = [
        module.register_forward_pre_hook(hook(name), with_kwargs=True) for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return what a layer is applied to; of attention's query and key both, as tokens of one batch."""
    if "query" in kwargs or len(args) >= 3:
        query_BTE, key_BTE = (args[0], args[1]) if args else (kwargs["query"], kwargs["key"])
        return torch.cat([query_BTE.flatten(0, -2), key_BTE.flatten(0, -2)])
    return args[0] if args else next(iter(kwargs.values()))
