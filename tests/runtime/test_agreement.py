"""The whole of it against torch: same packed folder, same pictures, same texts."""

import io
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tclip.runtime
from tclip.data.pairs import open_pairs
from tclip.evaluate.encoder import ClipEncoder
from tclip.models.load import load_dense
from tclip.packed.load import load
from tclip.packed.write import write_packed
from tests.runtime.conftest import PackedFolder
from tests.ternarizing import ternarized

TEXTS = ["a photo of a cat", "two dogs", "", "Ünïcode — 猫 🐈", "word " * 90]
FAMILIES = ["clip", "metaclip_2", "siglip"]


def pictures(count: int = 5) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(40, 60), (32, 32), (17, 90), (200, 50), (64, 64)][:count]
    return [Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


def worst_cosine(found_BE: np.ndarray, expected_BE: torch.Tensor) -> float:
    assert found_BE.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found_BE, axis=1), 1, rtol=1e-5)
    return float((found_BE * expected_BE.numpy()).sum(1).min())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ["", "numpy"])
@pytest.mark.parametrize("scale", ["row", "tensor", "group:16"])
def test_every_family_and_scale_agrees_with_torch(
    packed_folder: PackedFolder, family: str, path: str, scale: str
) -> None:
    folder = packed_folder(family, scale)
    reference = ClipEncoder(load(folder))
    clip = tclip.runtime.load(folder, path=path, num_threads=2)
    assert worst_cosine(clip.encode_image(pictures()), reference.embed_images(pictures())) > 0.999
    assert worst_cosine(clip.encode_text(TEXTS), reference.embed_texts(TEXTS)) > 0.999


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ["", "numpy"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dense_layers_stay_dense(packed_folder: PackedFolder, family: str, path: str, dtype: str) -> None:
    folder = packed_folder(family, "row", "ffn", "float", dtype)
    reference = ClipEncoder(load(folder))
    clip = tclip.runtime.load(folder, path=path)
    assert worst_cosine(clip.encode_image(pictures()), reference.embed_images(pictures())) > 0.999
    assert worst_cosine(clip.encode_text(TEXTS), reference.embed_texts(TEXTS)) > 0.999


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", ["", "numpy"])
@pytest.mark.parametrize("scale", ["row", "group:16"])
def test_weights_of_4_and_8_bits_agree_with_torch(
    packed_folder: PackedFolder, family: str, path: str, scale: str
) -> None:
    folder = packed_folder(family, scale, mixed=True)
    reference = ClipEncoder(load(folder))
    clip = tclip.runtime.load(folder, path=path)
    assert worst_cosine(clip.encode_image(pictures()), reference.embed_images(pictures())) > 0.999
    assert worst_cosine(clip.encode_text(TEXTS), reference.embed_texts(TEXTS)) > 0.999


@pytest.mark.parametrize("family", FAMILIES)
def test_scaled_similarities_agree_with_torch(packed_folder: PackedFolder, family: str) -> None:
    folder = packed_folder(family)
    reference, clip = load(folder), tclip.runtime.load(folder)
    random = np.random.default_rng(0)
    image_BE, text_LE = (random.normal(size=(3, clip.embedding_size)).astype(np.float32) for _ in range(2))
    expected = reference.logits(torch.from_numpy(image_BE), torch.from_numpy(text_LE)).detach().numpy()
    np.testing.assert_allclose(clip.logits(image_BE, text_LE), expected, rtol=1e-4, atol=1e-4)
    assert clip.sigmoid == (family == "siglip")


@pytest.mark.parametrize("family", ["chinese_clip", "altclip"])
def test_a_runnable_image_tower_of_another_family_is_run(packed_folder: PackedFolder, family: str) -> None:
    folder = packed_folder(family)
    clip = tclip.runtime.load(folder, towers="image")
    expected = ClipEncoder(load(folder)).embed_images(pictures())
    assert worst_cosine(clip.encode_image(pictures()), expected) > 0.999


def test_the_old_end_token_of_openai_is_pooled_as_in_transformers(
    packed_folder: PackedFolder, tmp_path: Path
) -> None:
    folder = packed_folder("clip")
    copy = tmp_path / "legacy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (copy / "config.json").write_text(json.dumps(config))
    expected = ClipEncoder(load(copy)).embed_texts(TEXTS)
    assert worst_cosine(tclip.runtime.load(copy).encode_text(TEXTS), expected) > 0.999


@pytest.fixture(scope="module")
def packed_reference(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = ternarized(load_dense(str(shared / "models" / "ref-clip")))
    clip.activations = "int8"
    folder = tmp_path_factory.mktemp("reference") / "packed"
    write_packed(clip, folder)
    return folder


@pytest.mark.shared
@pytest.mark.parametrize("path", tclip.runtime.paths())
def test_the_reference_clip_agrees_on_photographs(packed_reference: Path, shared: Path, path: str) -> None:
    pairs = islice(open_pairs(str(shared / "data" / "flickr8k"), "test"), 24)
    photographs = [sample.image_bytes for sample in pairs]
    images = [Image.open(io.BytesIO(photograph)) for photograph in photographs]
    reference, clip = load(packed_reference), tclip.runtime.load(packed_reference, path=path)
    found_BE, expected_BE = clip.encode_image(photographs), ClipEncoder(reference).embed_images(images)
    # Int8 rounding is chaotic: torch itself answers so much otherwise when pixels change by a millionth.
    pixels = reference.preprocess(images)
    nudged = {name: tensor * (1 + 1e-6 * torch.randn_like(tensor)) for name, tensor in pixels.items()}
    with torch.inference_mode():
        own = worst_cosine(reference.embed_images(nudged).numpy(), expected_BE)
    assert worst_cosine(found_BE, expected_BE) > own - 3e-4
