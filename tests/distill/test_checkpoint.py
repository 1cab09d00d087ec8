"""A checkpoint is whole or not there, gives back every number, and is refused when it does not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tclip.distill.checkpoint import MOMENTS, Position, checkpoints, load_checkpoint, save_checkpoint
from tclip.errors import TrainingError


class Model(nn.Module):
    """Two trained layers, one frozen, one that no step ever reaches."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.used, self.unused, self.frozen = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)
        self.frozen.requires_grad_(False)


def stepped(seed: int, steps: int = 2) -> tuple[Model, torch.optim.AdamW]:
    model = Model(seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: Model, optimizer: torch.optim.AdamW) -> None:
    optimizer.zero_grad(set_to_none=True)
    model.used(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def rewritten(path: Path, **changed: torch.Tensor) -> None:
    save_file(load_file(path) | changed, path)


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(2, 1.5, 0.75))
    other, other_optimizer = stepped(seed=1, steps=0)
    assert load_checkpoint(path, other, other_optimizer) == Position(2, 1.5, 0.75)
    for _ in range(2):
        step(model, optimizer)
        step(other, other_optimizer)
    assert torch.equal(model.used.weight, other.used.weight)
    assert torch.equal(model.unused.weight, other.unused.weight)
    assert not torch.equal(model.frozen.weight, other.frozen.weight)


def test_all_that_is_kept_of_a_weight_lies_where_the_weight_lies(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(2, 1.5, None))
    elsewhere = Model(seed=1).to("meta")
    other_optimizer = torch.optim.AdamW([p for p in elsewhere.parameters() if p.requires_grad])
    assert load_checkpoint(path, elsewhere, other_optimizer).first_loss is None
    kept = other_optimizer.state[elsewhere.used.weight]
    assert {kind: x.device.type for kind, x in kept.items()} == dict.fromkeys(MOMENTS, "meta")


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    for number in (5, 10, 100, 1000):
        save_checkpoint(tmp_path, model, optimizer, Position(number, 0.0, 1.0))
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000100", "step-00001000"]
    assert sorted(tmp_path.iterdir()) == checkpoints(tmp_path)


def test_half_a_checkpoint_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = stepped(seed=0)
    whole = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tclip.distill.checkpoint._optimizer_tensors", full)
        with pytest.raises(OSError, match="No space"):
            save_checkpoint(tmp_path, model, optimizer, Position(10, 0.0, 1.0))
    torn = tmp_path / "step-00000020"
    torn.mkdir()
    (torn / "student.safetensors").write_bytes(b"")
    assert checkpoints(tmp_path) == [whole]
    save_checkpoint(tmp_path, model, optimizer, Position(10, 0.0, 1.0))
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize("name", ["student.safetensors", "optimizer.safetensors", "position.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    (path / name).write_bytes((path / name).read_bytes()[:-9])
    with pytest.raises(TrainingError, match=r"step-00000005 is damaged .*delete that folder"):
        load_checkpoint(path, model, optimizer)


def test_a_position_of_other_keys_is_damaged(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    (path / "position.json").write_text(json.dumps({"step": 5}))
    with pytest.raises(TrainingError, match="is damaged"):
        load_checkpoint(path, model, optimizer)


def test_another_model_is_refused_with_every_name(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    rewritten(path / "student.safetensors", **{"used.weight": torch.zeros(2, 4), "more": torch.zeros(1)})
    with pytest.raises(TrainingError, match=r"does not fit this model and recipe:\n  more\n  used\.weight$"):
        load_checkpoint(path, model, optimizer)


@pytest.mark.parametrize(
    ("key", "moment"),
    [
        ("used.weight/exp_avg", torch.zeros(2, 4)),
        ("gone.weight/exp_avg", torch.zeros(2, 3)),
        ("used.weight/momentum", torch.zeros(2, 3)),
    ],
)
def test_moments_of_another_optimizer_are_refused(tmp_path: Path, key: str, moment: torch.Tensor) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    rewritten(path / "optimizer.safetensors", **{key: moment})
    with pytest.raises(TrainingError, match=f"does not fit.*\n  {key}"):
        load_checkpoint(path, model, optimizer)


@pytest.mark.parametrize("kind", ["step", "exp_avg", "exp_avg_sq"])
def test_missing_moments_are_named(tmp_path: Path, kind: str) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    kept = load_file(path / "optimizer.safetensors")
    del kept[f"used.weight/{kind}"]
    save_file(kept, path / "optimizer.safetensors")
    with pytest.raises(TrainingError, match=f"does not fit.*\n  used.weight/{kind}$"):
        load_checkpoint(path, model, optimizer)


def test_a_checkpoint_without_any_moments_is_refused(tmp_path: Path) -> None:
    model, optimizer = stepped(seed=0)
    path = save_checkpoint(tmp_path, model, optimizer, Position(5, 0.0, 1.0))
    save_file({}, path / "optimizer.safetensors")
    with pytest.raises(TrainingError, match=r"does not fit.*\n  optimizer\.safetensors$"):
        load_checkpoint(path, model, optimizer)
