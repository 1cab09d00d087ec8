import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tclip.demo import dataset
from tclip.demo.dataset import CLASS_NAMES, DemoData, held_out_pairs, train_pairs, write_scenes
from tclip.demo.draw import SIDE
from tclip.demo.scenes import Scene, is_held_out, is_true, kinds
from tests.demo.reading import combinations, read_caption

NUM_TRAIN, NUM_TEST = 120, 70


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    return write_scenes(tmp_path_factory.mktemp("scenes"), NUM_TRAIN, NUM_TEST, seed=0)


def read_split(folder: Path) -> dict[str, dict[str, bytes]]:
    samples: dict[str, dict[str, bytes]] = {}
    for shard in range(int((folder / "nshards.txt").read_text())):
        with tarfile.open(folder / f"{shard}.tar") as tar:
            for member in tar:
                key, ending = member.name.split(".")
                samples.setdefault(key, {})[ending] = tar.extractfile(member).read()
    return samples


def test_pairs_are_in_the_layout_of_clip_benchmark(data: DemoData) -> None:
    assert (data.scenes / "dataset_type.txt").read_text().strip() == "retrieval"
    for split, num, captions in (("train", NUM_TRAIN, dataset.CAPTIONS_A_SCENE), ("test", NUM_TEST, 1)):
        samples = read_split(data.scenes / split)
        assert len(samples) == num
        for sample in samples.values():
            assert len(sample["txt"].decode().splitlines()) == captions
            assert Image.open(io.BytesIO(sample["png"])).size == (SIDE, SIDE)


def test_classes_are_in_the_layout_of_clip_benchmark(data: DemoData) -> None:
    names = (data.shapes / "classnames.txt").read_text().splitlines()
    templates = (data.shapes / "zeroshot_classification_templates.txt").read_text().splitlines()
    assert len(set(names)) == 64
    assert all("{c}" in template for template in templates)
    samples = read_split(data.shapes / "test")
    assert len(samples) == NUM_TEST
    assert {int(sample["cls"]) for sample in samples.values()} == set(range(64))


def test_class_names_and_numbers_agree() -> None:
    assert [read_caption(name).groups[0].kind for name in CLASS_NAMES] == list(kinds())


def test_training_holds_no_held_out_combination(data: DemoData) -> None:
    texts = [t for s in read_split(data.scenes / "train").values() for t in s["txt"].decode().splitlines()]
    assert not any(is_held_out(read_caption(text)) for text in texts)


def test_every_test_caption_has_what_no_training_caption_says(
    data: DemoData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "draw", lambda *_: Image.new("RGB", (SIDE, SIDE)))  # captions are enough
    said = [read_caption(text) for _, texts in train_pairs(3000, 0) for text in texts]
    seen = set().union(*map(combinations, said))
    for sample in read_split(data.scenes / "test").values():
        assert combinations(read_caption(sample["txt"].decode())) - seen


def test_each_test_caption_is_true_of_one_scene_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "draw", lambda *_: Image.new("RGB", (SIDE, SIDE)))
    texts = [text for _, text in held_out_pairs(100, seed=0)]
    assert len(set(texts)) == 100
    claims = [read_caption(text) for text in texts]
    scenes = [as_drawn(claim) for claim in claims]
    for i, claim in enumerate(claims):
        assert [j for j, scene in enumerate(scenes) if is_true(claim, scene)] == [i]


def as_drawn(claim: Scene) -> Scene:
    # A full claim leaves only medium sizes unsaid.
    groups = tuple(replace(group, size=group.size or "medium") for group in claim.groups)
    return replace(claim, groups=groups)


def test_the_same_numbers_give_the_same_files_and_a_smaller_set_begins_alike(
    data: DemoData, tmp_path: Path
) -> None:
    again = write_scenes(tmp_path, NUM_TRAIN, NUM_TEST, seed=0)
    for one, other in ((data.scenes, again.scenes), (data.shapes, again.shapes)):
        for file in one.rglob("*.*"):
            assert (other / file.relative_to(one)).read_bytes() == file.read_bytes()
    few = read_split(write_scenes(tmp_path, 5, 5, seed=0).scenes / "train")
    assert few.items() <= read_split(data.scenes / "train").items()
    other_seed = read_split(write_scenes(tmp_path, 5, 5, seed=1).scenes / "train")
    assert other_seed != few


def test_a_complete_data_set_is_used_again(data: DemoData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "draw", None)  # drawing anything would crash
    assert write_scenes(data.scenes.parents[1], NUM_TRAIN, NUM_TEST, seed=0) == data


def test_a_half_written_data_set_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def fail_at_the_tenth(*arguments: object) -> Image.Image:
        drawn.append(arguments)
        if len(drawn) == 10:
            raise KeyboardInterrupt
        return Image.new("RGB", (SIDE, SIDE))

    monkeypatch.setattr(dataset, "draw", fail_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path, 20, 20, seed=0)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
