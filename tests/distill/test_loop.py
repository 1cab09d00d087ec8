"""Training that is stopped goes on exactly, on one process or several; what goes astray stops by name."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tclip.data.loader import Batch, PairBatches
from tclip.distill import loop, schedule
from tclip.distill.checkpoint import POSITION, STUDENT, checkpoints
from tclip.distill.log import read_log
from tclip.distill.loop import Trainer
from tclip.distill.losses import Views
from tclip.errors import TrainingError
from tclip.packed.load import load_packed
from tclip.recipe.schema import Losses
from tclip.run import Run
from tclip.ternary.latent import latent_weights
from tclip.ternary.straight_through import StraightThrough
from tests.distill.making import losses, make_run, recipe, train_run

# What a process of its own runs: nothing but the stage, on run folders that are there.
STAGE = (
    "import sys; from pathlib import Path; from tclip.run import open_run; "
    "from tclip.progress import Collected; from tclip.distill.stage import train; "
    "[train(open_run(Path(folder)), Collected()) for folder in sys.argv[1:]]"
)
# And that there was something to compile.
COUNTED = "; from torch._dynamo.utils import counters; assert counters['stats']['unique_graphs'] > 0"
# The same, with a teacher so slow that a signal surely comes in the middle of a step.
SLOWLY = (
    "import time; from tclip.distill.teacher import Teacher; embed = Teacher.embed; "
    "Teacher.embed = lambda self, batch: (time.sleep(0.3), embed(self, batch))[1]; "
)


@pytest.fixture(scope="module")
def tiny_run(tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path) -> Callable[..., Run]:
    """tiny_run(folder, **sections) makes a run folder that is ready to train."""

    def make(folder: Path, **sections: Any) -> Run:
        return make_run(folder, calibrated, recipe(tiny_folder("clip"), pairs, **sections))

    return make


@pytest.fixture
def uninterrupted(tiny_run: Callable[..., Run], tmp_path: Path) -> list[float]:
    """The losses of six steps in one go."""
    run = tiny_run(tmp_path / "uninterrupted")
    train_run(run)
    return losses(run.folder)


def start(code: str, *runs: Run, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *(str(run.folder) for run in runs)]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE)


def wait_for_checkpoint(run: Run, process: subprocess.Popen[bytes]) -> None:
    while not checkpoints(run.steps):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)


def test_killed_and_resumed_it_has_the_losses_of_an_uninterrupted_run(
    tiny_run: Callable[..., Run], tmp_path: Path, uninterrupted: list[float]
) -> None:
    run = tiny_run(tmp_path / "run")
    process = start(SLOWLY + STAGE, run)
    wait_for_checkpoint(run, process)
    process.kill()
    process.communicate()
    assert len(losses(run.folder)) < len(uninterrupted)
    assert not run.trained.exists()
    train_run(run)
    assert losses(run.folder) == uninterrupted
    assert load_packed(run.trained).ternary


def test_sigterm_finishes_the_step_and_leaves_a_checkpoint(
    tiny_run: Callable[..., Run], tmp_path: Path, uninterrupted: list[float]
) -> None:
    run = tiny_run(tmp_path / "run", train={"checkpoint_every": 100})
    process = start(SLOWLY + STAGE, run)
    while not (run.steps / "log.jsonl").is_file() or not losses(run.folder):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert "KeyboardInterrupt: Training stopped after step" in process.communicate()[1].decode()
    done = len(losses(run.folder))
    assert 0 < done < len(uninterrupted)
    assert [path.name for path in checkpoints(run.steps)] == [f"step-{done:08d}"]
    assert train_run(run).notes[0] == f"train: going on from step {done}"
    assert losses(run.folder) == uninterrupted


def test_two_processes_have_the_losses_of_one_with_all_rows(
    tiny_run: Callable[..., Run], tiny_folder: Callable[[str], Path], pairs: Path, tmp_path: Path
) -> None:
    every_loss = ("contrastive", "feature", "interactive", "similarity", "layers", "attention")
    # equally long texts: layer losses are means over each process's own tokens
    data = {"text_tokens": 4, "texts": "words", "images": ["crops", str(pairs)]}
    kinds: dict[str, dict[str, Any]] = {
        "all": {"losses": dict.fromkeys(every_loss, 0.5), "extra_images": 4, "extra_texts": 6},
        # and some that need not all that the towers answer
        "layers": {"losses": {"feature": 0.0, "layers": 1.0}, "steps": 3},
        "attention": {"losses": {"feature": 0.0, "attention": 1.0}, "steps": 3},
        "pairs": {"losses": {"feature": 0.0, "contrastive": 1.0}, "steps": 3},
    }
    wider = {"pairs": {"teacher": {"id": str(tiny_folder("siglip"))}}}  # embeddings of another width
    alone, runs = (
        [
            tiny_run(tmp_path / number / name, train=train, data=data, **wider.get(name, {}))
            for name, train in kinds.items()
        ]
        for number in ("one", "two")
    )
    for run in alone:
        train_run(run)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    started = [start(STAGE, *runs, RANK=str(rank), LOCAL_RANK=str(rank), **world) for rank in range(2)]
    for process in started:
        errors = process.communicate()[1].decode()
        assert process.returncode == 0, errors
    for one, two in zip(alone, runs, strict=True):
        assert losses(two.folder) == pytest.approx(losses(one.folder), rel=2e-3)


def test_minutes_are_spent_on_steps_alone_not_on_finding_the_place(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 0.6 minutes, where a step takes 12 seconds and the first batch 1000, each time."""
    train = {"steps": None, "minutes": 0.6, "checkpoint_every": 1}
    run, now, steps = tiny_run(tmp_path / "run", train=train), [0.0], []
    iterate, step = PairBatches.__iter__, Trainer._step

    def late(self: PairBatches) -> Iterator[Batch]:
        batches = iterate(self)
        now[0] += 1000
        yield from batches

    def timed(self: Trainer, batch: Batch, progress: float) -> Any:
        now[0] += 12
        steps.append(progress)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return step(self, batch, progress)

    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(PairBatches, "__iter__", late)
    monkeypatch.setattr(Trainer, "_step", timed)
    with pytest.raises(KeyboardInterrupt):
        train_run(run)
    train_run(run)
    assert steps == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])
    assert [line["seconds"] for line in read_log(run.steps)] == [12, 24, 36]


def test_a_budget_in_minutes_ends(tiny_run: Callable[..., Run], tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", train={"steps": None, "minutes": 0.01})
    train_run(run)
    assert run.trained.is_dir()
    assert losses(run.folder)


@pytest.mark.parametrize("spoiled", ["loss", "explosion", "gradient"])
def test_what_goes_astray_stops_before_it_reaches_a_weight(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    run, total = tiny_run(tmp_path / "run"), Trainer._total

    def spoil(self: Trainer, values: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.budget.step < 3:
            return total(self, values)
        if spoiled != "gradient":
            values["feature"] = values["feature"] * (math.nan if spoiled == "loss" else 1e4)
            return total(self, values)
        # Finite, but the root's slope at 0 is not.
        return total(self, values) + (values["feature"] - values["feature"].detach()).clamp(min=0).sqrt()

    monkeypatch.setattr(Trainer, "_total", spoil)
    with pytest.raises(TrainingError, match=r"at step 4 .*step-00000002\. Lower train\.lr.*captions\.csv"):
        train_run(run)
    (last,) = checkpoints(run.steps)
    assert len(losses(run.folder)) == 3
    monkeypatch.setattr(Trainer, "_total", total)
    assert train_run(run).notes[0] == "train: going on from step 2"
    assert all(map(math.isfinite, losses(run.folder)))
    assert last.name == "step-00000002"


def test_int8_activations_change_what_is_learned(
    tiny_run: Callable[..., Run], tmp_path: Path, uninterrupted: list[float]
) -> None:
    run = tiny_run(tmp_path / "run", quantize={"activations": "int8"})
    train_run(run)
    assert losses(run.folder) != uninterrupted
    assert losses(run.folder) == pytest.approx(uninterrupted, rel=0.2)
    assert load_packed(run.trained).activations == "int8"


def test_a_step_quantizes_each_weight_once(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = [0]  # of what comes before the first step
    quantize, step = StraightThrough.forward, Trainer._step

    def count(ctx: Any, *given: Any) -> torch.Tensor:
        counted[-1] += 1
        return quantize(ctx, *given)

    def counting(self: Trainer, *given: Any) -> Any:
        counted.append(0)
        result = step(self, *given)
        assert counted[-1] == len(list(latent_weights(self.student.model)))
        return result

    monkeypatch.setattr(StraightThrough, "forward", staticmethod(count))
    monkeypatch.setattr(Trainer, "_step", counting)
    run = tiny_run(tmp_path / "run", train={"steps": 2, "losses": {"contrastive": 1, "layers": 1}})
    train_run(run)
    assert len(counted) == 3 and min(counted[1:]) > 0


def test_strength_fades_in(tiny_run: Callable[..., Run], tmp_path: Path, uninterrupted: list[float]) -> None:
    run = tiny_run(tmp_path / "run", train={"strength_warmup": 1.0})
    train_run(run)
    assert losses(run.folder)[0] < uninterrupted[0]  # it begins as the original, which is its own teacher


def test_a_loss_that_grows_as_strength_fades_in_has_not_exploded(
    tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    train = {"strength_warmup": 0.5, "losses": {"feature": 1000.0}}
    run = tiny_run(
        tmp_path / "run", train=train, quantize={"quantizer": "clip2"}
    )  # no weight starts elsewhere
    train_run(run)
    first, *later = losses(run.folder)
    assert max(later) > 10 * first + 1
    kept = json.loads((checkpoints(run.steps)[-1] / POSITION).read_text())
    assert kept["first_loss"] == losses(run.folder)[3]  # of the first step at full strength


def test_a_longer_training_goes_no_longer_way(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[tuple[float, float]] = []
    step = Trainer._step

    def watched(self: Trainer, *arguments: Any) -> Any:
        result = step(self, *arguments)
        groups = self.optimizer.param_groups
        rates.append(
            tuple(min(g["lr"] / g["share"] for g in groups if g["travels"] == own) for own in (1, 0))
        )
        return result

    monkeypatch.setattr(Trainer, "_step", watched)
    train_run(tiny_run(tmp_path / "run", train={"ternary_lr": 0.02, "ternary_path": 0.03}))
    assert len(rates) == 6
    for bounded, free in rates:
        assert bounded == pytest.approx(free * 0.03 / (0.02 * 6))


def test_bfloat16_learns_what_float32_does(
    tiny_run: Callable[..., Run], tmp_path: Path, uninterrupted: list[float]
) -> None:
    run = tiny_run(tmp_path / "run", train={"precision": "bfloat16"})
    train_run(run)
    assert losses(run.folder) != uninterrupted
    assert losses(run.folder) == pytest.approx(uninterrupted, rel=0.02)


@pytest.mark.toolchain
def test_compiled_towers_learn_what_others_do_and_keep_their_names(
    tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    train = {"losses": {"feature": 1.0, "similarity": 0.1, "layers": 0.5}}
    plain, compiled = (
        tiny_run(tmp_path / "plain", train=train),
        tiny_run(tmp_path / "compiled", train=train | {"compile": True}),
    )
    train_run(plain)
    process = start(STAGE + COUNTED, compiled)  # the tests' checks of shapes cannot be compiled
    errors = process.communicate()[1].decode()
    assert process.returncode == 0, errors
    assert losses(compiled.folder) == pytest.approx(losses(plain.folder), rel=1e-3)
    kept = [load_file(checkpoints(run.steps)[-1] / STUDENT) for run in (plain, compiled)]
    assert kept[0].keys() == kept[1].keys()
    assert load_packed(compiled.trained).ternary.keys() == load_packed(plain.trained).ternary.keys()


def test_losses_are_computed_in_float32_whatever_the_towers_compute_in(
    tiny_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = tiny_run(tmp_path / "run", train={"precision": "bfloat16"}), set()
    embedding_losses = loop.embedding_losses

    def watch(views: Views, weights: Losses) -> dict[str, torch.Tensor]:
        seen.add((views.image_BE @ views.text_BE.T).dtype)
        return embedding_losses(views, weights)

    monkeypatch.setattr(loop, "embedding_losses", watch)
    train_run(run)
    assert seen == {torch.float32}
