"""Every family, every form: the files answer as the model does, for any number of images and texts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tclip.export.onnx import IMAGE_FILE, JOINT_FILE, TEXT_FILE
from tclip.export.session import open_session, run
from tests.export.conftest import FORMS, Exported
from tests.tiny import FAMILY_NAMES, MAX_TOKENS

LEAST_COSINE = {"float": 0.9999, "int8": 0.99, "nbits": 0.999}


def worst_cosine(expected: torch.Tensor, found: np.ndarray) -> float:
    return float(torch.nn.functional.cosine_similarity(expected, torch.from_numpy(found)).min())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_files_answer_as_the_model(
    family: str,
    form: str,
    exported: Callable[[str], Exported],
    images: list[Image.Image],
    texts: list[str],
) -> None:
    clip, folder = exported(family).clip, exported(family).folders[form]
    image_session, text_session = (open_session(folder / name, threads=1) for name in (IMAGE_FILE, TEXT_FILE))
    lengths = set()
    for count in (1, 3, 5):
        image_inputs, text_inputs = clip.preprocess(images[:count]), clip.tokenize(texts[:count])
        lengths.add(text_inputs["input_ids"].shape[1])
        (image_BE,) = run(image_session, image_inputs)
        (text_BE,) = run(text_session, text_inputs)
        assert worst_cosine(clip.embed_images(image_inputs), image_BE) >= LEAST_COSINE[form]
        assert worst_cosine(clip.embed_texts(text_inputs), text_BE) >= LEAST_COSINE[form]
        assert np.allclose(np.linalg.norm(image_BE, axis=1), 1, atol=1e-5)
        assert np.allclose(np.linalg.norm(text_BE, axis=1), 1, atol=1e-5)
    assert lengths == {MAX_TOKENS} if clip.family.pads_to_maximum else len(lengths) > 1


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_joint_file_takes_unequal_numbers_of_images_and_texts(
    family: str, exported: Callable[[str], Exported], images: list[Image.Image], texts: list[str]
) -> None:
    clip = exported(family).clip
    image_inputs, text_inputs = clip.preprocess(images[:2]), clip.tokenize(texts[:3])
    session = open_session(exported(family).folders["float"] / JOINT_FILE, threads=1)
    image_BE, text_BE, logits_BL = run(session, {**image_inputs, **text_inputs})
    expected_image_BE, expected_text_BE = clip.embed_images(image_inputs), clip.embed_texts(text_inputs)
    assert worst_cosine(expected_image_BE, image_BE) >= 0.9999
    assert worst_cosine(expected_text_BE, text_BE) >= 0.9999
    expected_BL = clip.logits(expected_image_BE, expected_text_BE)
    assert torch.allclose(torch.from_numpy(logits_BL), expected_BL, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_file_holds_standard_operators_bytes_and_no_traces(
    family: str, form: str, exported: Callable[[str], Exported]
) -> None:
    clip = exported(family).clip
    dense_sizes = {tensor.codes.numel() for tensor in clip.ternary.values()}
    for name in (IMAGE_FILE, TEXT_FILE, JOINT_FILE):
        model: Any = onnx.load(exported(family).folders[form] / name)
        foreign = {(node.domain, node.op_type) for node in model.graph.node if node.domain}
        assert foreign == ({("com.microsoft", "MatMulNBits")} if form == "nbits" else set())
        assert [opset.domain for opset in model.opset_import] == (["", "com.microsoft"] if foreign else [""])
        assert not model.functions
        floats = [
            tensor
            for tensor in model.graph.initializer
            if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
        ]
        tables = {
            int(np.prod(parameter.shape))
            for key, parameter in clip.model.named_parameters()
            if key not in clip.ternary
        }
        assert not [
            tensor.name
            for tensor in floats
            if (size := int(np.prod(tensor.dims))) in dense_sizes - tables and size > 100
        ]
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")  # codes are bytes of any value, ".py" among them
        assert b".py" not in model.SerializeToString()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_free_axes_have_names(family: str, exported: Callable[[str], Exported]) -> None:
    clip = exported(family).clip
    session = open_session(exported(family).folders["int8"] / JOINT_FILE, threads=1)
    inputs = {value.name: value.shape for value in session.get_inputs()}
    assert inputs["pixel_values"][0] == "image_batch"
    tokens = MAX_TOKENS if clip.family.pads_to_maximum else "tokens"
    assert inputs["input_ids"] == ["text_batch", tokens]
    assert inputs.keys() - {"pixel_attention_mask", "spatial_shapes"} == (
        {"pixel_values", "input_ids"} | ({"attention_mask"} if clip.family.text_mask else set())
    )
    outputs = {value.name: value.shape for value in session.get_outputs()}
    width = clip.embed_texts(clip.tokenize(["a"])).shape[1]
    assert outputs["image_embeds"] == ["image_batch", width]
    assert outputs["text_embeds"] == ["text_batch", width]
    assert outputs["logits_per_image"] == ["image_batch", "text_batch"]
