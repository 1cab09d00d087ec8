"""Which files hold a model's weights, and how large they are."""

import json
from pathlib import Path

import pytest

from tclip.errors import ModelError
from tclip.models import fetch
from tclip.models.fetch import local_weight_bytes
from tclip.models.weights import missing_weights, weight_bytes


def sharded(folder: Path, *sizes: int) -> Path:
    names = [f"model-{number}-of-{len(sizes)}.safetensors" for number in range(1, len(sizes) + 1)]
    for name, size in zip(names, sizes, strict=True):
        (folder / name).write_bytes(bytes(size))
    weights = {f"weight{number}": name for number, name in enumerate([*names, *names])}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    return folder


def test_shards_are_summed_once_each(tmp_path: Path) -> None:
    assert weight_bytes(sharded(tmp_path, 100, 23)) == 123
    (tmp_path / "model.safetensors").write_bytes(bytes(7))
    assert weight_bytes(tmp_path) == 7


def test_a_lacking_shard_is_named_and_has_no_size(tmp_path: Path) -> None:
    sharded(tmp_path, 1, 2)
    (tmp_path / "model-2-of-2.safetensors").unlink()
    assert missing_weights(tmp_path) == ["model-2-of-2.safetensors"]
    assert local_weight_bytes(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": []}'])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json"):
        missing_weights(tmp_path)


def test_a_model_that_is_not_here_has_no_size(tmp_path: Path) -> None:
    assert local_weight_bytes(str(tmp_path / "moved")) is None
    assert local_weight_bytes("surely-no-alias") is None


def test_a_model_of_the_hub_is_sought_in_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(fetch, "cached_model", lambda name, revision: asked.append((name.hub_id, revision)))
    assert local_weight_bytes("ViT-B-32", "main") is None
    assert asked == [("openai/clip-vit-base-patch32", "main")]
    monkeypatch.setattr(fetch, "cached_model", lambda *_: sharded(tmp_path, 5, 6))
    assert local_weight_bytes("ViT-B-32") == 11
