import os
import subprocess
import sys

import pytest

from tclip.data.images import open_images
from tclip.data.lengths import ASSUMED, lengths
from tclip.data.pairs import open_pairs
from tclip.errors import DataError
from tests.hub_server import HubServer

from .making import picture

datasets = pytest.importorskip("datasets")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split, num in (("train", 6), ("test", 2)):
        rows = {
            "image": [{"bytes": picture(n) if n != 1 else b"<html>", "path": None} for n in range(num)],
            "caption": [f"{split} {n}" for n in range(num)],
        }
        features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
        (tmp_path / "d").mkdir(exist_ok=True)
        for part in range(2):
            half = {name: column[part * num // 2 : (part + 1) * num // 2] for name, column in rows.items()}
            table = datasets.Dataset.from_dict(half, features=features)
            table.to_parquet(str(tmp_path / f"d/{split}-{part:05d}-of-00002.parquet"))
    return tmp_path / "d"


def test_rows_are_samples_shard_by_shard(folder):
    source = open_pairs(f"datasets://{folder}")
    source.check()
    assert len(source.shards()) == 2
    samples = list(source)
    assert [sample.captions for sample in samples] == [(f"train {n}",) for n in range(6)]
    assert samples[0].image_bytes == picture(0)
    assert samples[1].image_bytes == b"<html>"
    assert len({sample.key for sample in samples}) == 6
    assert list(source) == samples


def test_images_alone_need_no_captions(folder):
    for path in folder.iterdir():
        datasets.Dataset.from_parquet(str(path)).rename_column("caption", "label").to_parquet(str(path))
    samples = list(open_images(f"datasets://{folder}"))
    assert [sample.captions for sample in samples] == [()] * 6
    assert samples[0].image_bytes == picture(0)
    for path in folder.iterdir():
        datasets.Dataset.from_parquet(str(path)).rename_column("image", "photo").to_parquet(str(path))
    with pytest.raises(DataError, match=r"columns photo, label: one must be called image or [a-z ]+\.$"):
        list(open_images(f"datasets://{folder}"))


CARD = """---
dataset_info:
  features:
  - {name: image, dtype: image}
  - {name: caption, dtype: string}
  splits:
  - {name: train, num_bytes: 1, num_examples: 6}
---
"""


def test_shards_are_as_long_as_the_card_says(folder):
    assert lengths(open_pairs(f"datasets://{folder}").shards()) == [ASSUMED] * 2
    (folder / "README.md").write_text(CARD)
    assert lengths(open_pairs(f"datasets://{folder}").shards()) == [3, 3]


def test_splits_are_told(folder):
    assert len(list(open_pairs(f"datasets://{folder}", "test"))) == 2
    with pytest.raises(DataError, match=r'Unknown split "tset"\. Did you mean "test"'):
        open_pairs(f"datasets://{folder}", "tset")


def test_the_fingerprint_follows_the_files(folder):
    before = open_pairs(f"datasets://{folder}").fingerprint()
    assert before == open_pairs(f"datasets://{folder}").fingerprint()
    assert before != open_pairs(f"datasets://{folder}", "test").fingerprint()
    (folder / "README.md").write_text("more")
    assert before != open_pairs(f"datasets://{folder}").fingerprint()


def test_columns_of_other_names_are_named(folder):
    for path in folder.iterdir():
        table = datasets.Dataset.from_parquet(str(path)).rename_column("caption", "words")
        table.to_parquet(str(path))
    with pytest.raises(DataError, match=r"columns image, words: one must be called image or jpg"):
        open_pairs(f"datasets://{folder}").check()


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r'pip install "tclip\[datasets\]"'):
        open_pairs(f"datasets://{folder}")


@pytest.mark.parametrize("spec", ["datasets://", "datasets://:x"])
def test_what_is_no_address_is_refused(spec):
    with pytest.raises(DataError, match="no address of a data set"):
        open_pairs(spec)


READ = """
from tclip.data.pairs import open_pairs
from tclip.errors import DataError
source = open_pairs("datasets://org/rows")
source.check()
print(sorted((sample.captions[0], len(sample.image_bytes)) for sample in source))
for spec in ("datasets://org/none", "datasets://org/rows@v9", "datasets://org/rows:other"):
    try:
        open_pairs(spec)
    except DataError as error:
        print(error)
"""


@pytest.mark.parametrize("kind", ["parquet", "images"])
def test_the_hub_is_streamed_with_the_real_client(folder, tmp_path, kind):
    served = folder
    if kind == "images":
        served = tmp_path / "images"
        (served / "train").mkdir(parents=True)
        (served / "train/metadata.csv").write_text("file_name,text\na.jpg,train 0\nb.jpg,train 2\n")
        (served / "train/a.jpg").write_bytes(picture(0))
        (served / "train/b.jpg").write_bytes(picture(2))
    with HubServer(datasets={"org/rows": served}) as hub:
        environment = {
            **os.environ,
            **hub.environment(tmp_path / "hub"),
            "HF_DATASETS_CACHE": str(tmp_path / "sets"),
        }
        run = subprocess.run(
            [sys.executable, "-c", READ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert f"('train 0', {len(picture(0))})" in lines[0] and f"('train 2', {len(picture(2))})" in lines[0]
    assert lines[1].startswith('"org/none" is no data set on the Hub')
    assert lines[2] == 'The data set "org/rows" has no revision "v9" on the Hub.'
    assert lines[3].startswith('"org/rows" cannot be read by the datasets package')
