"""The stage as a whole: teachers of other widths and families, what is refused, what is left behind."""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tclip.distill import stage
from tclip.errors import TrainingError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.load import load_packed
from tclip.run import Run
from tests.distill.making import losses, make_run, recipe, train_run
from tests.tiny import tiny_clip_folder


@pytest.fixture(scope="module")
def other_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another family: other words, other pixels, embeddings of 32 instead of 24 numbers."""
    return tiny_clip_folder(tmp_path_factory.mktemp("teacher") / "siglip", "siglip")


@pytest.fixture
def _spawning() -> Iterator[None]:
    """Processes are begun anew, as on macOS, and get what they work on by pickle."""
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(None, force=True)


def test_a_trained_model_is_ternary_better_and_has_moved(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    only = {"steps": 12, "losses": {"feature": 1.0}, "margin": 0.02}  # so few steps flip no code far inside
    run = make_run(tmp_path / "run", calibrated, recipe(tiny_folder("clip"), pairs, train=only))
    train_run(run)
    found = losses(run.folder)
    assert sum(found[-3:]) < sum(found[:3])
    start, end, original = (
        load_packed(calibrated),
        load_packed(run.trained),
        load_dense(str(tiny_folder("clip"))),
    )
    assert end.ternary.keys() == start.ternary.keys()
    assert any(not torch.equal(end.ternary[n].codes, start.ternary[n].codes) for n in start.ternary)
    assert torch.equal(end.model.logit_scale, original.model.logit_scale)
    assert not any("parametrizations" in name for name, _ in end.model.named_parameters())
    assert end.base == start.base


def test_a_teacher_of_another_width_and_family(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, other_teacher: Path, tmp_path: Path
) -> None:
    made = recipe(tiny_folder("clip"), pairs, teacher={"id": str(other_teacher)})
    run = make_run(tmp_path / "run", calibrated, made)
    train_run(run)
    assert all(torch.isfinite(torch.tensor(losses(run.folder))))
    names = {name for name, _ in load_packed(run.trained).model.named_parameters()}
    assert names == {name for name, _ in load_dense(str(tiny_folder("clip"))).model.named_parameters()}


def test_pictures_without_captions_are_trained_on(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(pairs.parent, tmp_path / "bare", ignore=shutil.ignore_patterns("*.csv"))
    train = {"steps": 12, "losses": {"feature": 1.0, "similarity": 0.1}}
    made = recipe(tiny_folder("clip"), bare, data={"captions": "words"}, train=train)
    run = make_run(tmp_path / "run", calibrated, made)
    train_run(run)
    found = losses(run.folder)
    assert sum(found[-3:]) < sum(found[:3])


@pytest.mark.usefixtures("_spawning")
def test_images_are_decoded_in_processes_that_are_not_forked(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, other_teacher: Path, tmp_path: Path
) -> None:
    runs = list[Run]()
    for workers in (0, 1):
        train, teacher = {"steps": 2, "workers": workers}, {"id": str(other_teacher)}
        made = recipe(tiny_folder("clip"), pairs, train=train, teacher=teacher)
        runs.append(make_run(tmp_path / f"run{workers}", calibrated, made))
        train_run(runs[-1])
    assert losses(runs[0].folder) == losses(runs[1].folder)


def test_layer_losses_need_a_teacher_that_sees_the_same(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, other_teacher: Path, tmp_path: Path
) -> None:
    train = {"losses": {"feature": 1.0, "layers": 0.5}}
    made = recipe(tiny_folder("clip"), pairs, train=train, teacher={"id": str(other_teacher)})
    with pytest.raises(TrainingError, match="has another tokenizer or image preprocessing"):
        train_run(make_run(tmp_path / "run", calibrated, made))


def test_a_copy_of_the_original_is_a_teacher_like_the_original(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_folder("clip"), tmp_path / "copy"))
    train = {"losses": {"feature": 1.0, "layers": 0.5, "attention": 0.5}}
    runs: list[Run] = []
    for teacher in (None, str(copy)):
        made = recipe(tiny_folder("clip"), pairs, train=train, teacher={"id": teacher, "cache": False})
        runs.append(make_run(tmp_path / f"run{len(runs)}", calibrated, made))
        train_run(runs[-1])
    assert losses(runs[0].folder) == losses(runs[1].folder)


def test_a_checkpoint_of_other_settings_is_refused(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    made = recipe(tiny_folder("clip"), pairs)
    run = make_run(tmp_path / "run", calibrated, made)
    train_run(run)
    rule = made.quantize.model_copy(update={"quantizer": "clip2"})
    with pytest.raises(TrainingError, match=r"step-00000006 does not fit this model and recipe"):
        train_run(Run(run.folder, made.model_copy(update={"quantize": rule})))


def test_nothing_to_train(
    tiny_folder: Callable[[str], Path], pairs: Path, calibrated: Path, tmp_path: Path
) -> None:
    made = recipe(tiny_folder("clip"), pairs).model_copy(update={"train": None})
    run = make_run(tmp_path / "run", calibrated, made)
    assert train_run(run).notes == ["train: the recipe trains nothing (train: null)"]
    assert not run.trained.exists()


def test_a_batch_that_cannot_be_shared_out_is_refused(
    tiny_folder: Callable[[str], Path],
    pairs: Path,
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Three:
        num_processes, process_index, is_main_process = 3, 0, True

    monkeypatch.setattr("tclip.distill.stage._accelerator", lambda: Three())
    made = recipe(
        tiny_folder("clip"), pairs, train={"extra_images": 3, "extra_texts": 4}, data={"texts": "words"}
    )
    run = make_run(tmp_path / "run", calibrated, made)
    with pytest.raises(
        TrainingError,
        match=r"batch_size 8, train.extra_texts 4 cannot be shared .* 3 processes: set a multiple of 3",
    ):
        train_run(run)


def test_of_the_hub_the_commit_that_was_calibrated_is_trained(
    tiny_folder: Callable[[str], Path],
    pairs: Path,
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str | None]] = []

    def loaded(spec: str, revision: str | None = None) -> Clip:
        asked.append((spec, revision))
        return load_dense(str(tiny_folder("clip")))

    monkeypatch.setattr(stage, "load_dense", loaded)
    train_run(make_run(tmp_path / "hub", calibrated, recipe(Path("org/clip"), pairs, train={"steps": 1})))
    base = load_packed(calibrated).base
    assert base is not None
    assert asked == [("org/clip", base.commit)] * 2
    asked.clear()
    local = tiny_folder("clip")
    train_run(make_run(tmp_path / "local", calibrated, recipe(local, pairs, train={"steps": 1})))
    assert asked == [(str(local), None)] * 2
