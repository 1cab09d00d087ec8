"""A model that rounds the inputs of its ternary layers: float files do the same, token by token."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from tclip.export.layers import Linear
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE, write_graphs
from tclip.export.session import open_session, run
from tclip.export.spell import spell_out
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.recipe.schema import Onnx
from tclip.ternary.activations import fake_int8, quantize_activations
from tests.export.conftest import Exported
from tests.export.test_spell import answer, marked, random_ternary
from tests.ternarizing import ternarized


def product(rounds: int, weights: str = "base3") -> onnx.ModelProto:
    weight = Linear(random_ternary(20, 48), None).weight
    model = marked("Linear", weight, {"x": TensorProto.FLOAT})
    model.graph.node[0].attribute.append(helper.make_attribute("rounds", rounds))
    return spell_out(model, "float", weights, rounds=True)


@pytest.mark.parametrize("weights", ["base3", "nbits"])
def test_inputs_are_rounded_as_in_training(weights: str) -> None:
    x = torch.randn(2, 3, 48) * torch.tensor([1e-3, 1.0, 50.0])[:, None]
    x[0, 0] = 0
    expected = fake_int8(x) @ random_ternary(20, 48).dense().T
    found = answer(product(1, weights), x=x)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(answer(product(0, weights), x=x), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("settings", [Onnx(activations="float"), Onnx(activations="float", format="nbits")])
@pytest.mark.parametrize("family", ["clip", "siglip"])
@torch.no_grad()
def test_files_answer_as_the_rounding_model(
    family: str,
    settings: Onnx,
    exported: Callable[[str], Exported],
    tiny_folder: Callable[[str], Path],
    images: list[Image.Image],
    texts: list[str],
    tmp_path: Path,
) -> None:
    clip: Clip = ternarized(load_dense(str(tiny_folder(family))))
    plain_BE = clip.embed_images(clip.preprocess(images))
    quantize_activations(clip.model, clip.ternary)
    clip.activations = "int8"
    write_graphs(clip, exported(family).traced, tmp_path, settings)
    inputs, tokens = clip.preprocess(images), clip.tokenize(texts)
    image_BE = torch.from_numpy(run(open_session(tmp_path / IMAGE_FILE, 1), inputs)[0])
    text_BE = torch.from_numpy(run(open_session(tmp_path / TEXT_FILE, 1), tokens)[0])
    expected_BE = clip.embed_images(inputs)
    assert 1 - torch.cosine_similarity(image_BE, expected_BE).min() < 1e-4
    assert 1 - torch.cosine_similarity(text_BE, clip.embed_texts(tokens)).min() < 1e-4
    # the rounding shows, so that leaving it out would fail
    assert torch.dist(image_BE, expected_BE) < torch.dist(image_BE, plain_BE) / 3


def test_products_of_one_input_share_its_rounding(
    exported: Callable[[str], Exported], tiny_folder: Callable[[str], Path]
) -> None:
    image, _ = exported("clip").traced
    counts = Counter(node.op_type for node in spell_out(image, "float", rounds=True).graph.node)
    layers = sum(name.startswith("vi") for name in exported("clip").clip.ternary)
    assert counts["MatMul"] >= layers
    assert counts["Round"] == layers - 2 * 2  # query, key and value of two layers
