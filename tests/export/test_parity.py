"""The gate lets good files pass, and says of damaged ones where they part from the model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from tclip.errors import ParityError
from tclip.export.onnx import IMAGE_FILE, JOINT_FILE, TEXT_FILE
from tclip.export.parity import check_parity
from tclip.recipe.schema import Onnx
from tests.export.conftest import Exported

STRICT = Onnx(activations="float", joint=True, min_cosine=0.999, min_agreement=1.0)


def damaged(folder: Path, target: Path, file: str, tensor_name: str, change: Callable[[Any], Any]) -> Path:
    """Copy an exported folder and change one constant of one of its files."""
    shutil.copytree(folder, target)
    model = onnx.load(target / file)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name.startswith(tensor_name)]
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, target / file)
    return target


def reverse(values: Any) -> Any:
    return values[::-1].copy()


@pytest.mark.parametrize("family", ["clip", "siglip2"])
def test_good_files_pass(
    family: str, exported: Callable[[str], Exported], images: list[Image.Image], texts: list[str]
) -> None:
    report = check_parity(exported(family).clip, exported(family).folders["float"], images, texts, STRICT)
    assert report.image.mean_cosine == pytest.approx(1, abs=1e-5)
    assert report.text.min_cosine == pytest.approx(1, abs=1e-5)
    assert report.agreement == 1
    assert (report.num_images, report.num_texts) == (5, 5)
    assert report.image.start_seconds > 0
    assert report.text.milliseconds > 0


@pytest.mark.parametrize(("num_texts", "agreement"), [(3, 1.0), (1, None)])
def test_captions_that_repeat_count_once(
    num_texts: int,
    agreement: float | None,
    exported: Callable[[str], Exported],
    images: list[Image.Image],
    texts: list[str],
) -> None:
    labels = texts[:num_texts] * 10  # some of them in other batches
    report = check_parity(exported("clip").clip, exported("clip").folders["float"], images, labels, STRICT)
    assert (report.agreement, report.num_images, report.num_texts) == (agreement, 5, num_texts)


@pytest.mark.parametrize(
    ("file", "tensor", "where"),
    [
        (
            IMAGE_FILE,
            "vision_model.encoder.layers.1.mlp.fc2.weight.base3",
            "vision_model.encoder.layers.1 ",
        ),
        (TEXT_FILE, "text_model.encoder.layers.0.mlp.fc1.weight.base3", "text_model.encoder.layers.0 "),
        (TEXT_FILE, "text_model.embeddings.token_embedding.weight.base3", "text_model.embeddings "),
        (IMAGE_FILE, "visual_projection.weight.base3", "behind the last layer"),
    ],
)
def test_damage_is_found_and_located(
    file: str,
    tensor: str,
    where: str,
    exported: Callable[[str], Exported],
    tmp_path: Path,
    images: list[Image.Image],
    texts: list[str],
) -> None:
    folder = damaged(exported("clip").folders["float"], tmp_path / "onnx", file, tensor, reverse)
    with pytest.raises(ParityError) as caught:
        check_parity(exported("clip").clip, folder, images, texts, STRICT)
    message = str(caught.value)
    assert f"{file} has mean cosine 0." in message or f"{file} has mean cosine -0." in message
    assert where in message
    other = TEXT_FILE if file == IMAGE_FILE else IMAGE_FILE
    assert f"{other} has mean" not in message


def test_nan_fails(
    exported: Callable[[str], Exported], tmp_path: Path, images: list[Image.Image], texts: list[str]
) -> None:
    folder = damaged(
        exported("clip").folders["float"],
        tmp_path / "onnx",
        IMAGE_FILE,
        "visual_projection.weight.scale",
        lambda scale: np.full_like(scale, np.nan),
    )
    with pytest.raises(ParityError, match=r"image_encoder\.onnx has mean cosine -1"):
        check_parity(exported("clip").clip, folder, images, texts, STRICT)


def test_disagreement_alone_fails(
    exported: Callable[[str], Exported], tmp_path: Path, images: list[Image.Image], texts: list[str]
) -> None:
    clip = exported("clip").clip
    image_E, text_LE = clip.embed_images(clip.preprocess(images))[0], clip.embed_texts(clip.tokenize(texts))
    against = int((image_E * text_LE[(text_LE @ image_E).argmax()]).argmin())

    def dominate(scale: Any) -> Any:
        """The number that speaks most against the best text outweighs all others; no sign changes, so
        the cosine stays above 0."""
        scale[against] *= 1000
        return scale

    folder = damaged(
        exported("clip").folders["float"],
        tmp_path / "onnx",
        TEXT_FILE,
        "text_projection.weight.scale",
        dominate,
    )
    lenient = Onnx(min_cosine=0.0, min_agreement=1.0)
    with pytest.raises(ParityError, match=r"of 5 images \(at least 100\.0%\) rank the same of 5 texts first"):
        check_parity(clip, folder, images, texts, lenient)


def test_joint_file_of_another_scale_fails(
    exported: Callable[[str], Exported], tmp_path: Path, images: list[Image.Image], texts: list[str]
) -> None:
    folder = damaged(
        exported("clip").folders["float"],
        tmp_path / "onnx",
        JOINT_FILE,
        "logit_scale.exp",
        lambda scale: scale * 1.1,
    )
    with pytest.raises(ParityError, match=r"clip\.onnx has logits up to"):
        check_parity(exported("clip").clip, folder, images, texts, STRICT)
