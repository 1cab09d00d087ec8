"""In which order the parts of a segment are treated, found by watching it run once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """One norm, or the layers that share one input.

    Attributes:
        names: the modules.
        is_norm: whether it is a norm.
        residual: the module whose input is the stream that these layers' output is added to, if it is:
            they can then make up for what the student's stream lacks.
    """

    names: tuple[str, ...]
    is_norm: bool
    residual: str | None = None

    @property
    def recorded(self) -> list[str]:
        """The modules whose inputs the step needs."""
        return [*self.names, *([self.residual] if self.residual else [])]


def find_steps(
    seen: Sequence[tuple[str, Tensor]], modules: Mapping[str, nn.Module], in_block: bool
) -> list[Step]:
    """Cut what ran, in order, into steps.

    Args:
        seen: (name, input) of each norm and layer that ran; one that runs twice counts once.
        modules: the modules by name.
        in_block: whether the segment is a transformer block, whose layers in front of a norm or of the
            end write to the residual stream.
    """
    groups: list[tuple[list[str], Tensor, bool]] = []
    done: set[str] = set()
    for name, x in seen:
        is_norm = isinstance(modules[name], nn.LayerNorm)
        if name in done:
            continue
        done.add(name)
        if groups and not is_norm and not groups[-1][2] and groups[-1][1] is x:
            groups[-1][0].append(name)
        else:
            groups.append(([name], x, is_norm))
    norm_last = bool(groups) and groups[-1][2]
    steps = []
    for index, (names, _, is_norm) in enumerate(groups):
        writes = index + 1 == len(groups) or groups[index + 1][2]
        residual = _stream(groups, index, norm_last) if in_block and writes and not is_norm else None
        steps.append(Step(tuple(names), is_norm, residual))
    return steps


def _stream(groups: Sequence[tuple[list[str], Tensor, bool]], index: int, norm_last: bool) -> str | None:
    """Return the module at whose input the residual stream is found.

    With norms in front of the layers that is the latest norm; with norms behind them (BERT), the first
    layer after the latest norm.
    """
    norms = [at for at in range(index) if groups[at][2]]
    if norm_last:
        return groups[norms[-1] + 1 if norms else 0][0][0]
    return groups[norms[-1]][0][0] if norms else None
