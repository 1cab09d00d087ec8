"""What is written, how large it is, and that a failure leaves nothing behind."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from tclip.errors import ModelError
from tclip.export import onnx as writer
from tclip.export.onnx import IMAGE_FILE, JOINT_FILE, TEXT_FILE, export_onnx, write_graphs
from tclip.export.session import open_session, run
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.recipe.schema import Onnx
from tclip.ternary.activations import quantize_activations
from tests.export.conftest import Exported
from tests.ternarizing import ternarized

WIDTH, LAYERS = 384, 2


def wide_clip(tiny: Clip) -> Clip:
    """A clip large enough for the weights to outweigh the graph."""
    tower = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS}
    config = CLIPConfig(
        text_config={**tiny.model.config.text_config.to_dict(), **tower},
        vision_config={**tiny.model.config.vision_config.to_dict(), **tower},
        projection_dim=WIDTH,
    )
    torch.manual_seed(0)
    return ternarized(replace(tiny, model=CLIPModel(config).eval(), ternary={}))


@pytest.fixture(scope="module")
def wide(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, Path]:
    clip = wide_clip(load_dense(str(tiny_folder("clip"))))
    folder = tmp_path_factory.mktemp("wide")
    export_onnx(clip, folder, Onnx(activations="int8"))
    return clip, folder


def test_a_file_is_1_6_bits_a_ternary_weight_halves_and_a_small_graph(wide: tuple[Clip, Path]) -> None:
    clip, folder = wide
    for name, tower in ((IMAGE_FILE, "vi"), (TEXT_FILE, "te")):
        count = sum(t.codes.numel() for key, t in clip.ternary.items() if key.startswith(tower))
        tensors = onnx.load(folder / name).graph.initializer
        codes = sum(len(tensor.raw_data) for tensor in tensors if tensor.name.endswith(".base3"))
        halves = sum(len(t.raw_data) for t in tensors if t.data_type == onnx.TensorProto.FLOAT16)
        assert 1.6 <= 8 * codes / count <= 1.601
        assert codes + halves < (folder / name).stat().st_size < codes + halves + 45_000


def test_every_linear_layer_is_fused_to_an_integer_kernel(wide: tuple[Clip, Path], tmp_path: Path) -> None:
    clip, folder = wide
    for name, tower, embeddings in ((IMAGE_FILE, "vi", 0), (TEXT_FILE, "te", 1)):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / name)
        options.log_severity_level = 3  # it warns that such a file suits this machine only
        onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
        counts = Counter(node.op_type for node in onnx.load(tmp_path / name).graph.node)
        layers = sum(key.startswith(tower) for key in clip.ternary) - embeddings
        # Query, key and value share their rounded input, so it is rounded once, outside of the product.
        assert counts["MatMulIntegerToFloat"] == 3 * LAYERS
        assert counts["DynamicQuantizeMatMul"] == layers - 3 * LAYERS
        assert counts["DynamicQuantizeLinear"] == LAYERS
        assert not counts["MatMulInteger"]
        # Positions, token codes and token scales are looked up; the digits of the codes no longer are.
        assert counts["Gather"] == (3 if embeddings else 1)


def test_the_clip_is_left_untouched(wide: tuple[Clip, Path]) -> None:
    clip, _ = wide
    assert all(
        isinstance(m, torch.nn.Module) and "tclip" not in type(m).__module__ for m in clip.model.modules()
    )
    assert not any(module._forward_hooks for module in clip.model.modules())
    assert torch.equal(
        clip.model.get_parameter("text_projection.weight"), clip.ternary["text_projection.weight"].dense()
    )


@torch.no_grad()
def test_dense_clip_is_exported_exactly(
    tiny_folder: Callable[[str], Path], tmp_path: Path, images: list[Image.Image], texts: list[str]
) -> None:
    clip = load_dense(str(tiny_folder("clip")))
    quantize_activations(clip.model, [])
    files = export_onnx(clip, tmp_path / "onnx", Onnx(activations="int8"))
    assert [file.path.name for file in files[:2]] == [IMAGE_FILE, TEXT_FILE]
    assert all(file.path.stat().st_size == file.num_bytes for file in files)
    inputs = clip.preprocess(images)
    (image_BE,) = run(open_session(tmp_path / "onnx" / IMAGE_FILE, 1), inputs)
    assert np.allclose(image_BE, clip.embed_images(inputs).numpy(), atol=1e-5)
    inputs = clip.tokenize(texts)
    (text_BE,) = run(open_session(tmp_path / "onnx" / TEXT_FILE, 1), inputs)
    assert np.allclose(text_BE, clip.embed_texts(inputs).numpy(), atol=1e-5)


def test_later_export_replaces_files_and_drops_the_joint_one(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    clip, traced = exported("clip").clip, exported("clip").traced
    (tmp_path / "notes.txt").write_text("mine")
    write_graphs(clip, traced, tmp_path, Onnx(joint=True))
    assert (tmp_path / JOINT_FILE).is_file()
    files = write_graphs(clip, traced, tmp_path, Onnx(joint=False))
    assert {path.name for path in tmp_path.iterdir()} == {file.path.name for file in files} | {"notes.txt"}
    assert {"config.json", "tokenizer.json", "preprocessor_config.json"} <= {file.path.name for file in files}


def test_failure_keeps_the_old_files(
    exported: Callable[[str], Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, traced = exported("clip").clip, exported("clip").traced
    write_graphs(clip, traced, tmp_path, Onnx())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clip.tokenizer, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        write_graphs(clip, traced, tmp_path, Onnx(activations="float"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_beyond_2_gb_is_refused_before_any_work(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = load_dense(str(tiny_folder("clip")))
    size = 4 * sum(parameter.numel() for parameter in clip.model.parameters())
    monkeypatch.setattr(writer, "LARGEST_FILE", size - 10)

    def never(clip: Any) -> Any:
        raise AssertionError("traced before the size was checked")

    monkeypatch.setattr(writer, "trace_towers", never)
    with pytest.raises(ModelError, match="leave out the joint file"):
        export_onnx(clip, tmp_path / "onnx", Onnx(joint=True))
    assert not (tmp_path / "onnx").exists()
