"""Token ids equal to transformers', up to the token that is pooled."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.data.pairs import open_pairs
from tclip.errors import DataError, ModelError
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.runtime.texts import TextReader
from tests.tiny import MAX_TOKENS, edit_json

TEXTS = [
    "a photo of a cat",
    "",
    "  two   dogs  ",
    "Ünïcödé ÀÉÎ",
    "猫と犬 图片",
    "🐈 🐕‍🦺",
    "word " * 90,
    "a\nb\tc",
    "<|endoftext|>",
]


@pytest.fixture(scope="module", params=["clip", "siglip", "metaclip_2"])
def clip(request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder(request.param)))


def reader_of(folder: Path, positions: int = MAX_TOKENS) -> TextReader:
    return TextReader(folder, json.loads((folder / "config.json").read_text())["text_config"], positions)


def assert_same(clip: Clip, texts: list[str]) -> None:
    found = reader_of(Path(clip.source.id), clip.max_tokens)(texts)
    expected_BT = clip.tokenize(texts)["input_ids"].numpy()
    end = clip.model.config.text_config.eos_token_id
    for ids, expected_T in zip(found, expected_BT, strict=True):
        assert ids.dtype == np.int32
        assert ids.tolist() == expected_T[: len(ids)].tolist()
        if clip.family.pads_to_maximum:
            assert len(ids) == len(expected_T)
        else:
            assert len(ids) - 1 == (torch.from_numpy(expected_T) == end).int().argmax()


def test_ids_are_those_of_transformers(clip: Clip) -> None:
    assert_same(clip, TEXTS)
    assert_same(clip, TEXTS[:1])


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60))
def test_ids_of_any_text_are_those_of_transformers(clip: Clip, text: str) -> None:
    assert_same(clip, [text])


def test_no_text_gives_nothing(tiny_folder: Callable[[str], Path]) -> None:
    assert reader_of(tiny_folder("clip"))([]) == []


def test_the_old_end_token_of_openai_means_the_largest_id(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder("clip"), tmp_path / "model"))
    expected = reader_of(folder)(TEXTS)
    config = json.loads((folder / "config.json").read_text())
    edit_json(folder / "config.json", text_config=config["text_config"] | {"eos_token_id": 2})
    assert [ids.tolist() for ids in reader_of(folder)(TEXTS)] == [ids.tolist() for ids in expected]


def test_fewer_positions_cut_earlier_and_keep_the_end(tiny_folder: Callable[[str], Path]) -> None:
    reader = reader_of(tiny_folder("clip"), 7)
    (ids,) = reader(["word " * 90])
    assert len(ids) == 7
    assert (
        ids[-1]
        == json.loads((tiny_folder("clip") / "config.json").read_text())["text_config"]["eos_token_id"]
    )


def test_missing_and_damaged_files_are_named(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no .*tokenizer\.json"):
        TextReader(tmp_path, {}, 20)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"There is no .*tokenizer_config\.json"):
        TextReader(tmp_path, {}, 20)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        TextReader(tmp_path, {}, 20)(["a"])
    folder = Path(shutil.copytree(tiny_folder("siglip"), tmp_path / "siglip"))
    edit_json(folder / "tokenizer_config.json", pad_token="<none>")
    with pytest.raises(ModelError, match='lacks the padding token "<none>"'):
        reader_of(folder)(["a"])


@pytest.mark.shared
def test_ids_of_real_captions_are_those_of_transformers(shared: Path) -> None:
    clip = load_dense(str(shared / "models" / "ref-clip"))
    samples = islice(open_pairs(str(shared / "data" / "flickr8k"), "test"), 200)
    assert_same(clip, [caption for sample in samples for caption in sample.captions])


def test_a_text_that_is_not_utf8_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"The text 'caf\\udce9' is not UTF-8"):
        reader_of(tiny_folder("clip"))(["a cat", "caf\udce9"])
