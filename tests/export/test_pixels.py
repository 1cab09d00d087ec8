"""The encoder that takes bytes answers as the one that takes the preprocessor's floats."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from tclip.errors import ModelError, ParityError
from tclip.export.onnx import IMAGE_FILE, JOINT_FILE, export_onnx, write_graphs
from tclip.export.parity import check_parity
from tclip.export.pixels import take_bytes
from tclip.export.session import OnnxClip, open_session
from tclip.models.load import load_dense
from tclip.recipe.schema import Onnx
from tests.export.conftest import Exported
from tests.export.test_parity import damaged, reverse
from tests.tiny import IMAGE_SIZE

BYTES = Onnx(activations="float", pixels="uint8", joint=True, min_cosine=0.999, min_agreement=1.0)
FAMILIES = ("clip", "siglip", "chinese_clip", "altclip", "metaclip_2", "vision-text-dual-encoder")


@pytest.fixture(scope="module")
def folder(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the tiny CLIP that take bytes; nothing may change them."""
    path = tmp_path_factory.mktemp("bytes")
    write_graphs(exported("clip").clip, exported("clip").traced, path, BYTES)
    return path


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_bytes_and_floats_give_the_same(
    family: str, exported: Callable[[str], Exported], images: list[Image.Image]
) -> None:
    clip = exported(family).clip
    encoder = onnx.load(exported(family).folders["float"] / IMAGE_FILE)
    pixels_BHWC = clip.pixels(images)
    assert pixels_BHWC.dtype == torch.uint8
    expected = clip.preprocess(images)["pixel_values"].numpy()
    model = take_bytes(encoder, clip.image_processor)
    model.graph.output.append(onnx.helper.make_tensor_value_info("pixel_values", 1, None))
    session = open_session(model.SerializeToString(), 1)
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type) == ("pixels", "tensor(uint8)")
    assert taken.shape == ["image_batch", IMAGE_SIZE, IMAGE_SIZE, 3]
    image_BE, pixel_BCHW = session.run(None, {"pixels": pixels_BHWC.numpy()})
    assert np.allclose(pixel_BCHW, expected, atol=1e-6)
    (expected_BE,) = open_session(exported(family).folders["float"] / IMAGE_FILE, 1).run(
        ["image_embeds"], {"pixel_values": expected}
    )
    assert np.allclose(image_BE, expected_BE, atol=1e-5)


@pytest.mark.parametrize(("rescale", "normalize"), [(True, False), (False, True), (False, False)])
def test_steps_that_the_preprocessor_leaves_out_are_not_in_the_graph(
    rescale: bool, normalize: bool, exported: Callable[[str], Exported], images: list[Image.Image]
) -> None:
    class Processor:
        do_rescale, do_normalize, rescale_factor = rescale, normalize, 1 / 255
        image_mean, image_std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]

    encoder = onnx.load(exported("clip").folders["float"] / IMAGE_FILE)
    model = take_bytes(encoder, Processor)
    model.graph.output.append(onnx.helper.make_tensor_value_info("pixel_values", 1, None))
    pixels_BHWC = exported("clip").clip.pixels(images).numpy()
    expected = pixels_BHWC / 255 if rescale else pixels_BHWC.astype(np.float64)
    if normalize:
        expected = (expected - np.array(Processor.image_mean)) / np.array(Processor.image_std)
    (found,) = open_session(model.SerializeToString(), 1).run(["pixel_values"], {"pixels": pixels_BHWC})
    assert np.allclose(found, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_folder_is_an_encoder_like_any_other(
    folder: Path, exported: Callable[[str], Exported], images: list[Image.Image]
) -> None:
    clip = exported("clip").clip
    expected_BE = clip.embed_images(clip.preprocess(images)).numpy()
    assert np.allclose(OnnxClip(folder, threads=1).embed_images(images), expected_BE, atol=1e-4)
    joint = {value.name for value in open_session(folder / JOINT_FILE, 1).get_inputs()}
    assert joint == {"pixels", "input_ids"}


def test_the_gate_compares_and_locates(
    folder: Path,
    exported: Callable[[str], Exported],
    images: list[Image.Image],
    texts: list[str],
    tmp_path: Path,
) -> None:
    report = check_parity(exported("clip").clip, folder, images, texts, BYTES)
    assert report.image.mean_cosine == pytest.approx(1, abs=1e-5)
    broken = damaged(folder, tmp_path / "a", IMAGE_FILE, "pixels/Sub.constant", lambda mean: mean + 2)
    with pytest.raises(ParityError, match=r"parts from the model at vision_model\.embeddings"):
        check_parity(exported("clip").clip, broken, images, texts, BYTES)
    layer = "vision_model.encoder.layers.1"
    shutil.rmtree(broken)
    broken = damaged(folder, tmp_path / "a", IMAGE_FILE, f"{layer}.mlp.fc2.weight.base3", reverse)
    with pytest.raises(ParityError, match=rf"parts from the model at {layer} "):
        check_parity(exported("clip").clip, broken, images, texts, BYTES)


def test_patches_are_refused_by_name(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a SigLIP 2, whose image encoder takes patches"):
        export_onnx(load_dense(str(tiny_folder("siglip2"))), tmp_path / "onnx", Onnx(pixels="uint8"))
