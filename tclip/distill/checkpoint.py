"""Checkpoints of training: safetensors and JSON, written whole or not at all, the newest two kept."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tclip.errors import TrainingError, first_line, listed

KEPT = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of a parameter
STUDENT, OPTIMIZER, POSITION = "student.safetensors", "optimizer.safetensors", "position.json"


@dataclass(frozen=True)
class Position:
    """How far training has come when a checkpoint is written.

    Attributes:
        step: steps done.
        seconds: time spent in them.
        first_loss: the first loss at full strength of quantization; None: there was none yet.
    """

    step: int
    seconds: float
    first_loss: float | None


def save_checkpoint(
    folder: Path, student: nn.Module, optimizer: torch.optim.Optimizer, position: Position
) -> Path:
    """Write FOLDER/step-N with the student's trained state, the optimizer's state and the position."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{position.step:08d}"
    for leftover in folder.glob(".writing-*"):  # of a process that was killed
        shutil.rmtree(leftover)
    temporary = folder / f".writing-{os.getpid()}"
    temporary.mkdir()
    save_file(_parameters(student), temporary / STUDENT)
    save_file(_optimizer_tensors(student, optimizer), temporary / OPTIMIZER)
    (temporary / POSITION).write_text(json.dumps(vars(position)), encoding="utf-8")
    _discard(final)
    temporary.replace(final)
    for old in checkpoints(folder)[:-KEPT]:
        _discard(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints of a folder, oldest first; one that lacks a file is passed over."""
    return sorted(
        path
        for path in folder.glob("step-*")
        if all((path / name).is_file() for name in (STUDENT, OPTIMIZER, POSITION))
    )


def load_checkpoint(path: Path, student: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    """Put a checkpoint's state into the student and the optimizer.

    Raises:
        TrainingError: the checkpoint is damaged, or of another model or recipe.
    """
    saved, moments, position = _read(path)
    parameters = _named(student)
    offenders = [*_misfits(saved, parameters), *_moment_misfits(moments, parameters)]
    if offenders:
        raise TrainingError(f"{path} does not fit this model and recipe:{listed(offenders[:8])}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])
    for name, parameter in parameters.items():
        if f"{name}/{MOMENTS[0]}" in moments:
            # the step too: a fused optimizer wants it beside the parameter
            optimizer.state[parameter] = {
                kind: moments[f"{name}/{kind}"].to(parameter.device) for kind in MOMENTS
            }
    return position


def _misfits(saved: dict[str, Tensor], parameters: dict[str, nn.Parameter]) -> list[str]:
    return [
        name
        for name in sorted(saved.keys() | parameters.keys())
        if name not in saved or name not in parameters or saved[name].shape != parameters[name].shape
    ]


def _moment_misfits(moments: dict[str, Tensor], parameters: dict[str, nn.Parameter]) -> list[str]:
    """A weight that no step has reached has no moments; one that has some has all."""
    if not moments:
        return [OPTIMIZER]
    begun = {key.rpartition("/")[0] for key in moments}
    missing = {f"{name}/{kind}" for name in begun for kind in MOMENTS} - moments.keys()
    return sorted(missing | {key for key, x in moments.items() if not _fits(key, x, parameters)})


def _fits(key: str, moment: Tensor, parameters: dict[str, nn.Parameter]) -> bool:
    name, _, kind = key.rpartition("/")
    known = name in parameters and kind in MOMENTS
    return known and (kind == "step" or moment.shape == parameters[name].shape)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Position]:
    try:
        position = Position(**json.loads((path / POSITION).read_text(encoding="utf-8")))
        return load_file(path / STUDENT), load_file(path / OPTIMIZER), position
    except (SafetensorError, ValueError, TypeError) as error:
        raise TrainingError(
            f"The checkpoint {path} is damaged ({first_line(error)}): "
            "delete that folder to go on from the one before."
        ) from error


def _discard(path: Path) -> None:
    """Remove a folder under another name: removed half way it must not pass for a checkpoint."""
    if path.exists():
        shutil.rmtree(path.replace(path.with_name(f".writing-{path.name}")))


def _named(student: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in student.named_parameters() if parameter.requires_grad}


def _parameters(student: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in _named(student).items()}


def _optimizer_tensors(student: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": x.detach().cpu().contiguous()
        for name, parameter in _named(student).items()
        for key, x in optimizer.state.get(parameter, {}).items()
    }
