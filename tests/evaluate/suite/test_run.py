"""A suite from its names to its tables: what is on disk, what is on the Hub, what cannot be had."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tclip.errors import DataError, ModelError
from tclip.evaluate import measure
from tclip.evaluate.measure import Settings
from tclip.evaluate.suite.run import evaluate_suite
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.recipe.schema import Model, Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run
from tests.data.making import class_members, multilabel_members, pair_members, write_layout
from tests.hub_server import Fault, HubServer
from tests.ternarizing import ternarized

TEMPLATES = {"zeroshot_classification_templates": "a {c}\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """wds_mnist, vtab-pets, flickr8k and voc2007_multilabel as a user may have them."""
    digits = "".join(f"{digit}\n" for digit in range(7))
    write_layout(
        tmp_path / "root/wds_mnist", {"test": [class_members(range(7))]}, classnames=digits, **TEMPLATES
    )
    write_layout(
        tmp_path / "root/vtab-pets",
        {"test": [class_members([0, 1, 0])]},
        classnames="cat\ndog\n",
        **TEMPLATES,
    )
    write_layout(tmp_path / "root/flickr8k", {"test": [pair_members(range(5))]}, dataset_type="retrieval")
    marks = multilabel_members([[1, 0], [1, 1], [0, 0]])
    files = {"classnames": "cat\ndog\n", "dataset_type": "multilabel", **TEMPLATES}
    write_layout(tmp_path / "root/voc2007_multilabel", {"test": [marks]}, **files)
    return tmp_path / "root"


@pytest.fixture
def hub(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with two of the tasks."""
    copy = shutil.copytree(root, tmp_path / "hub")
    names = {"clip-benchmark/wds_mnist": "wds_mnist", "clip-benchmark/wds_vtab-pets": "vtab-pets"}
    with HubServer(datasets={name: copy / folder for name, folder in names.items()}) as server:
        server.connect(monkeypatch, tmp_path / "hub-cache")
        yield server


@pytest.fixture
def clip(tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """my-clip in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-clip").symlink_to(tiny_folder("clip"))
    return "my-clip"


def rows_of(told: Collected) -> dict[tuple[str, str], list]:
    return {(row[0], row[1]): row[2:] for row in told.tables[-1].rows}


def test_tasks_of_every_kind_are_measured_from_disk(clip: str, root: Path) -> None:
    told = Collected()
    names = ["mnist", "vtab/pets", "flickr8k", "voc2007_multilabel"]
    evaluate_suite(clip, names, [], told, root=root)
    files = sorted(path.name for path in Path("results/my-clip").iterdir())
    assert [name for name in files if name.endswith(".json")] == [
        "flickr8k.json",
        "mnist.json",
        "voc2007_multilabel.json",
        "vtab-pets.json",
    ]
    assert len(files) == 8
    found = {
        name: json.loads(Path(f"results/my-clip/{name.replace('/', '-')}.json").read_text()) for name in names
    }
    assert [found[name]["dataset"] for name in names] == names
    assert {found[name]["pretrained"] for name in names} == {"original"}
    assert set(found["mnist"]["metrics"]) == {
        "acc1",
        "acc5",
        "mean_per_class_recall",
        "expected_calibration_error",
    }
    assert set(found["voc2007_multilabel"]["metrics"]) == {"mean_average_precision"}
    assert len(found["flickr8k"]["metrics"]) == 6
    assert ("average of 4", "main score, %") in rows_of(told)


def test_what_is_not_below_the_root_comes_from_the_hub(clip: str, root: Path, hub: HubServer) -> None:
    shutil.rmtree(root / "vtab-pets")
    told = Collected()
    evaluate_suite(clip, ["mnist", "vtab/pets"], [], told, root=root)
    assert hub.fetched("clip-benchmark/wds_vtab-pets")
    assert not hub.fetched("clip-benchmark/wds_mnist")
    assert ("vtab/pets", "mean recall of the classes, %") in rows_of(told)


def test_what_is_downloaded_is_fetched_once_for_all_readers(clip: str, root: Path, hub: HubServer) -> None:
    names = ["vtab/pets", "gtsrb"]
    for out in ("one", "other"):
        told = Collected()
        evaluate_suite(clip, names, [], told, root=Path("kept"), download=True, out=Path(out))
        assert ("vtab/pets", "mean recall of the classes, %") in rows_of(told)
        assert [note.split(": ")[:2] for note in told.notes] == [["not measured", "gtsrb"]]
    assert [path.name for path in Path("kept").iterdir()] == ["wds_vtab-pets"]
    assert len([r for r in hub.requests if r.method == "GET" and r.path.endswith("0.tar")]) == 1


def test_what_cannot_be_had_is_named_at_the_end(clip: str, root: Path, hub: HubServer) -> None:
    tar = root / "flickr8k/test/0.tar"
    tar.write_bytes(tar.read_bytes()[:600])  # within the first picture
    told = Collected()
    evaluate_suite(clip, ["mnist", "gtsrb", "flickr8k"], [], told, root=root)
    assert [note.split(": ")[:2] for note in told.notes] == [
        ["not measured", "gtsrb"],
        ["not measured", "flickr8k"],
    ]
    assert "no data set on the Hub" in told.notes[0] and "no tar file or a damaged one" in told.notes[1]
    rows = rows_of(told)
    assert rows["gtsrb", "not measured"] == rows["flickr8k", "not measured"] == [None]
    assert ("average of 1", "main score, %") in rows


def test_nothing_to_be_had_is_an_error(clip: str, root: Path, hub: HubServer) -> None:
    with pytest.raises(DataError, match=r"None of the data could be had:(.|\n)*gtsrb(.|\n)*dtd"):
        evaluate_suite(clip, ["gtsrb", "vtab/dtd"], [], Collected(), root=root)


def test_an_interrupted_suite_goes_on_where_it_stopped(
    clip: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated, asked = measure.evaluate, []

    def stop_at_the_second(encoder, eval_set, **options):
        asked.append(eval_set.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return evaluated(encoder, eval_set, **options)

    monkeypatch.setattr(measure, "evaluate", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate_suite(clip, ["mnist", "vtab/pets"], [], Collected(), root=root)
    told = Collected()
    evaluate_suite(clip, ["mnist", "vtab/pets"], [], told, root=root)
    assert asked == ["mnist", "vtab/pets", "vtab/pets"]
    assert told.notes == ["eval original on mnist (1 of 2): measured before"]
    assert ("average of 2", "main score, %") in rows_of(told)


def test_a_hub_that_fails_in_the_middle_is_no_end(clip: str, root: Path, hub: HubServer) -> None:
    shutil.rmtree(root / "vtab-pets")
    hub.faults = [Fault("0.tar", status=500)]
    told = Collected()
    evaluate_suite(clip, ["vtab/pets", "mnist"], [], told, root=root)
    assert len(told.notes) == 1
    assert told.notes[0].startswith("not measured: vtab/pets: The Hub gave no answer")
    hub.faults = []
    evaluate_suite(clip, ["vtab/pets", "mnist"], [], told, root=root)
    assert told.notes[1:] == ["eval original on mnist (2 of 2): measured before"]
    assert ("vtab/pets", "mean recall of the classes, %") in rows_of(told)


def test_folders_need_no_suite_and_records_go_where_one_says(clip: str, root: Path, tmp_path: Path) -> None:
    told = Collected()
    data = [str(root / "vtab-pets")]
    evaluate_suite(clip, [], data, told, out=tmp_path / "out", settings=Settings(limit=2))
    record = json.loads((tmp_path / "out/vtab-pets.json").read_text())
    assert (record["num_samples"], record["limit"]) == (2, 2)


def test_a_part_of_a_public_task_is_marked_and_not_beside_public_models(clip: str, root: Path) -> None:
    shutil.copytree(root / "flickr8k", root / "flickr30k")
    told = Collected()
    evaluate_suite(clip, ["flickr30k", "mnist"], [], told, root=root, settings=Settings(limit=3))
    assert [table.title for table in told.tables] == [
        "my-clip: 2 of 2 data sets, no more than 3 images of each"
    ]
    assert told.notes == [
        "not beside public models: flickr30k: measured on 3 images, the published scores are of 1,000"
    ]


def test_a_look_at_a_part_does_not_replace_a_record_of_more(clip: str, root: Path, tmp_path: Path) -> None:
    names = ["mnist", "vtab/pets", "flickr8k"]
    evaluate_suite(clip, names[:2], [], Collected(), root=root)
    whole = Path("results/my-clip/mnist.json").read_text()
    with pytest.raises(DataError, match=r"--limit 3 would replace .*another --out.*\n +\S*mnist.json$"):
        evaluate_suite(clip, names, [], Collected(), root=root, settings=Settings(limit=3))
    assert Path("results/my-clip/mnist.json").read_text() == whole
    assert not Path("results/my-clip/flickr8k.json").exists()
    evaluate_suite(clip, names, [], Collected(), root=root, out=tmp_path / "look", settings=Settings(limit=3))
    evaluate_suite(clip, names, [], Collected(), root=root, out=tmp_path / "look")
    assert json.loads((tmp_path / "look/mnist.json").read_text())["num_samples"] == 7


def test_tasks_that_lack_for_the_same_reason_are_named_together(
    clip: str, root: Path, hub: HubServer
) -> None:
    (root / "wds_cars").mkdir()
    told = Collected()
    evaluate_suite(clip, ["gtsrb", "mnist", "cars", "vtab/dtd"], [], told, root=root)
    assert len(told.notes) == 2
    assert told.notes[0].startswith("not measured: gtsrb, vtab/dtd: ")
    assert "wds_gtsrb" in told.notes[0] and told.notes[0].endswith("The others alike.")
    assert told.notes[1].startswith("not measured: cars: ")


def test_a_model_that_is_none_is_told_before_any_data_are_read(root: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder, nor a Hub id"):
        evaluate_suite("nothing", ["mnist"], [], Collected(), root=root)


@pytest.fixture
def run(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Run:
    """A run whose model is packed."""
    original = tiny_folder("clip")
    run = Run(tmp_path / "run", Recipe(schema=1, model=Model(id=str(original))))
    write_packed(ternarized(load_dense(str(original))), run.packed)
    write_recipe(run.recipe, run.folder / "recipe.yaml")
    return run


def test_the_forms_of_a_run_are_compared_with_its_original(run: Run, root: Path) -> None:
    told = Collected()
    evaluate_suite(str(run.folder), ["mnist", "flickr8k"], [], told, root=root)
    assert (run.results / "original/mnist.json").is_file() and (run.results / "packed/mnist.json").is_file()
    compared, scores = told.tables
    assert compared.columns[2:4] == scores.columns[2:] == ["original", "packed"]
    assert compared.columns[-1] == "beyond chance"


def test_one_form_of_a_run_stands_alone(run: Run, root: Path) -> None:
    told = Collected()
    evaluate_suite(str(run.folder), ["mnist"], [], told, root=root, forms=["packed"])
    assert [table.columns for table in told.tables] == [["data set", "metric", "packed"]]
    assert not (run.results / "original").exists()
