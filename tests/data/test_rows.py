import sys

import pytest

from tclip.data.pairs import open_pairs
from tclip.errors import DataError

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
