"""compressed-tensors folders, beside that package's own packing."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from tclip.errors import ModelError, UserError
from tclip.export.compressed import export_compressed, open_compressed, pack_words
from tclip.models.load import load_dense
from tests.ternarizing import ternarized

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("compressed_tensors") is None,
    reason="needs the extra: pip install 'tclip[compressed]'",
)


@settings(deadline=None)  # the first call imports the package
@given(columns=st.integers(1, 70), seed=st.integers(0, 1000))
@needs_package
def test_codes_are_packed_as_the_package_packs_them(columns: int, seed: int) -> None:
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-1, 2, (3, columns), generator=generator, dtype=torch.int8)
    assert torch.equal(pack_words(codes), pack_to_int32(codes, 2))


@needs_package
@pytest.mark.parametrize("family", ["clip", "siglip2", "vision-text-dual-encoder"])
def test_stock_transformers_reads_the_very_weights(
    family: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = ternarized(load_dense(str(tiny_folder(family))))
    export_compressed(clip, tmp_path / "compressed")
    state = open_compressed(tmp_path / "compressed", tmp_path).model.state_dict()
    for name, tensor in clip.model.state_dict().items():
        assert torch.equal(state[name], tensor), name


@needs_package
@pytest.mark.parametrize("scale", ["tensor", "group:16"])
def test_every_granularity_is_read(scale: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))), scale)
    export_compressed(clip, tmp_path / "compressed")
    state = open_compressed(tmp_path / "compressed", tmp_path).model.state_dict()
    for name, ternary in clip.ternary.items():
        assert torch.equal(state[name], ternary.dense()), name


@needs_package
def test_ternary_weights_take_2_bits_and_the_rest_16(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    export_compressed(clip, tmp_path / "compressed")
    stored = load_file(tmp_path / "compressed" / "model.safetensors")
    table = "text_model.embeddings.token_embedding"
    assert stored[f"{table}.weight_packed"].shape == (634, 32 * 2 // 32)
    assert f"{table}.weight" not in stored
    assert stored["vision_model.embeddings.patch_embedding.weight"].dtype == torch.float16
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}


@needs_package
def test_floats_that_float16_does_not_hold_stay_float32(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    with torch.no_grad():
        clip.model.get_parameter("logit_scale").fill_(1 / 3)
    export_compressed(clip, tmp_path / "compressed")
    state = open_compressed(tmp_path / "compressed", tmp_path).model.state_dict()
    assert float(state["logit_scale"]) == pytest.approx(1 / 3, rel=1e-7)


@needs_package
def test_several_granularities_are_refused_by_name(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    other = ternarized(load_dense(str(tiny_folder("clip"))), "tensor")
    clip.ternary["text_projection.weight"] = other.ternary["text_projection.weight"]
    with pytest.raises(ModelError, match=r"text_projection\.weight: scales per tensor"):
        export_compressed(clip, tmp_path / "compressed")


def test_a_missing_package_is_said_before_anything_is_written(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("clip"))))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tclip\[compressed\]'"):
        export_compressed(clip, tmp_path / "compressed")
    assert not (tmp_path / "compressed").exists()
