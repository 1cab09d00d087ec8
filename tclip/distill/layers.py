"""Losses on what happens inside the towers, for a teacher of the student's own shape.

B batch, T tokens, S tokens of the whole batch that are read, D width, H heads, K width of a head, N texts.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from tclip.errors import TrainingError
from tclip.recipe.schema import Losses

_BLOCK = re.compile(r"(vision|text)_model\..*\blayers?\.\d+$")
Average = Callable[[Tensor], Tensor]
_RELATIONS = ("q_proj", "k_proj", "v_proj", "query", "key", "value")


class LayerLosses:
    """Records both models' encoder blocks during a forward pass and compares them.

    Attributes:
        active: whether either loss is switched on; the teacher must then run on each batch.
    """

    NAMES = ("layers", "attention")

    def __init__(self, student: Any, teacher: Any, weights: Losses) -> None:
        self._weights = weights
        self.active = weights.layers > 0 or weights.attention > 0
        self._models = (student, teacher)
        self._seen: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        if self.active:
            self._blocks = _blocks(student)
            if not self._blocks:
                raise TrainingError(
                    "train.losses.layers and train.losses.attention know no encoder layers in this model: "
                    "set both weights to 0."
                )
            if self._blocks != _blocks(teacher) or _widths(student) != _widths(teacher):
                raise TrainingError(
                    "train.losses.layers and train.losses.attention need a teacher of the student's shape: "
                    "leave teacher.id null, or set both weights to 0."
                )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within the context, forward passes of both models are recorded."""
        if not self.active:
            yield
            return
        handles = [
            model.get_submodule(name).register_forward_hook(self._keep(seen, name))
            for model, seen in zip(self._models, self._seen, strict=True)
            for name in self._watched(model)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def losses(self, average: Average, real_NT: Bool[Tensor, "N T"]) -> dict[str, Float[Tensor, ""]]:
        """Return the weighted losses of what was recorded, by name; empty if none is switched on.

        Args:
            average: takes the mean of a tensor over all processes.
            real_NT: which tokens of the texts are compared; of images all are.
        """
        if not self.active:
            return {}
        found = {}
        if self._weights.layers > 0:
            errors = [relative_error(*self._tokens(name, real_NT), average) for name in self._blocks]
            found["layers"] = self._weights.layers * _mean(errors)
        if self._weights.attention > 0:
            names = [name for name in self._seen[0] if name.rpartition(".")[2] in _RELATIONS]
            relations = [self._relation_divergence(name, real_NT) for name in names]
            found["attention"] = self._weights.attention * _mean(relations)
        return found

    def _tokens(self, name: str, real_NT: Bool[Tensor, "N T"]) -> tuple[Tensor, Tensor]:
        """Return the student's and the teacher's hidden states behind a block, one row a token."""
        student_BTD, teacher_BTD = (seen[name] for seen in self._seen)
        if name.startswith("text"):
            real_NT = real_NT.to(student_BTD.device)
            return student_BTD[real_NT], teacher_BTD[real_NT]
        return student_BTD.flatten(0, 1), teacher_BTD.flatten(0, 1)

    def _relation_divergence(self, name: str, real_NT: Bool[Tensor, "N T"]) -> Tensor:
        student_BTD, teacher_BTD = (seen[name] for seen in self._seen)
        everything = torch.ones(student_BTD.shape[:2], dtype=torch.bool)
        real_BT = (real_NT if name.startswith("text") else everything).to(student_BTD.device)
        return relation_divergence(student_BTD, teacher_BTD, self._heads(name), real_BT)

    def _watched(self, model: nn.Module) -> list[str]:
        last = _last_blocks(self._blocks)
        relations = [
            name
            for name, _ in model.named_modules()
            if name.rpartition(".")[2] in _RELATIONS and name.startswith(last)
        ]
        return [*self._blocks, *(relations if self._weights.attention > 0 else [])]

    def _heads(self, name: str) -> int:
        config = self._models[0].config
        tower = config.vision_config if name.startswith("vision") else config.text_config
        return int(tower.num_attention_heads)

    @staticmethod
    def _keep(seen: dict[str, Tensor], name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook


def relative_error(
    student_SD: Float[Tensor, "S D"], teacher_SD: Float[Tensor, "S D"], average: Average
) -> Float[Tensor, ""]:
    """Squared difference of two hidden states relative to the teacher's variance (0: equal).

    The variance is that of all processes' rows: relative to its own, a process would weigh its rows by how
    alike they happen to be.
    """
    teacher_SD = teacher_SD.detach().float()
    error = (student_SD.float() - teacher_SD).square().mean()
    mean_D = average(teacher_SD.mean(dim=0))
    variance = average((teacher_SD - mean_D).square().mean())
    return error / variance.clamp(min=1e-6)


def relation_divergence(
    student_BTD: Float[Tensor, "B T D"],
    teacher_BTD: Float[Tensor, "B T D"],
    num_heads: int,
    real_BT: Bool[Tensor, "B T"],
) -> Float[Tensor, ""]:
    """KL between token relations of queries, keys or values (MiniLMv2, arXiv 2012.15828, eq. 4-6).

    Tokens that are not real have no part in it, neither as those that relate nor as those related to.
    """
    student_BHTT, teacher_BHTT = (
        _relations(x.float(), num_heads, real_BT) for x in (student_BTD, teacher_BTD.detach())
    )
    divergence_BHTT = functional.kl_div(student_BHTT, teacher_BHTT, reduction="none", log_target=True)
    return divergence_BHTT.sum(-1).mean(1)[real_BT].mean()


def _relations(x_BTD: Tensor, num_heads: int, real_BT: Tensor) -> Tensor:
    """Return the logarithms of each token's relations to all others, and 0 for tokens that are not real."""
    heads_BHTK = x_BTD.unflatten(-1, (num_heads, -1)).transpose(1, 2)
    scores_BHTT = heads_BHTK @ heads_BHTK.transpose(-1, -2) / heads_BHTK.shape[-1] ** 0.5
    unreal_B11T = ~real_BT[:, None, None, :]
    relations_BHTT = scores_BHTT.masked_fill(unreal_B11T, -torch.inf).log_softmax(-1)
    return relations_BHTT.masked_fill(unreal_B11T, 0)


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def _blocks(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if _BLOCK.match(name)]


def _widths(model: Any) -> tuple[int, int]:
    return model.config.vision_config.hidden_size, model.config.text_config.hidden_size


def _last_blocks(blocks: list[str]) -> tuple[str, ...]:
    last = {name.partition("_model")[0]: name for name in blocks}
    return tuple(f"{name}." for name in last.values())
