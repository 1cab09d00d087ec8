"""A person uses the page; what it shows is what Python says of the same pictures and texts."""

import io
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tclip.export.web import open_web
from tclip.models.clip import Clip
from tests.browser.conftest import encoded
from tests.browser.driving import ISOLATED, Tools, served, use

pytestmark = pytest.mark.browser

QUERY = "two dogs in a house"
LABELS = ["dog", "cat", "red circle", "old man"]
TEMPLATE = "a photo of a {}."
TEXTS = (
    "",
    " ",
    "a photo of a cat",
    "Ünïcödé ÀÉÎ Straße e\u0301",
    "ΟΔΟΣ ΣΑΣ",
    "İstanbul",
    "猫と犬 图片 한국어",
    "🐈 🐕‍🦺 👨‍👩‍👧‍👦 🏳️‍🌈",
    "it's 12:30, l'été!?",
    "  two   spaces\tand\nlines ",
    "word " * 90,
    "猫" * 90,
    "<|endoftext|> in a text",
)


def any_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of any characters that Unicode had assigned when Python's tables were made, all planes.

    U+FEFF and U+0085 are left out: JavaScript and Rust disagree on whether they are white space.
    """
    assigned = [
        code
        for code in range(0x20, 0x20000)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co") and code not in (0xFEFF, 0x85)
    ]
    draw = random.Random(seed)
    latin = [code for code in assigned if code < 0x250]
    return [
        "".join(chr(draw.choice(draw.choice((latin, assigned)))) for _ in range(draw.randint(1, 25)))
        for _ in range(count)
    ]


@torch.no_grad()
def embeddings(clip: Clip, pictures: list[Path], texts: list[str]) -> tuple[Any, Any]:
    """The packed model's embeddings, by torch: [B, E] and [L, E]."""
    images = [Image.open(io.BytesIO(path.read_bytes())) for path in pictures]
    image_BE = clip.embed_images(clip.preprocess(images))
    return image_BE.numpy(), torch.cat([clip.embed_texts(clip.tokenize([text])) for text in texts]).numpy()


def assert_ranked(seen: dict[str, Any], clip: Clip, pictures: list[Path], tolerance: float) -> None:
    image_BE, text_LE = embeddings(clip, pictures, [QUERY])
    expected = {
        path.name: float(cosine) for path, cosine in zip(pictures, image_BE @ text_LE[0], strict=True)
    }
    found = {name: cosine for name, cosine, _ in seen["ranking"]}
    assert found == pytest.approx(expected, abs=tolerance)
    assert [cosine for _, cosine, _ in seen["ranking"]] == sorted(found.values(), reverse=True)
    assert all(text == f"{cosine:.3f}" for _, cosine, text in seen["ranking"])


def assert_quiet(seen: dict[str, Any]) -> None:
    """Nothing was asked of another server, nothing went wrong, nothing was written to the console."""
    assert (seen["foreign"], seen["said"], seen["problems"]) == ([], [], [])


def test_ranking_cosines_and_labels_are_those_of_the_packed_model(
    tools: Tools, page: Callable[..., tuple[Clip, Path]], address: str, pictures: list[Path], tmp_path: Path
) -> None:
    clip, folder = page()
    told = {"query": QUERY, "labels": LABELS, "template": TEMPLATE}
    seen = use(tools, address, pictures=list(map(str, pictures)), **told)
    assert_quiet(seen)
    assert not seen["isolated"]
    assert seen["title"] == f"{len(pictures)} pictures"
    assert "(CLIP, " in seen["model"]
    assert_ranked(seen, clip, pictures, 1e-5)
    image_BE, text_LE = embeddings(clip, pictures, [TEMPLATE.replace("{}", label) for label in LABELS])
    expected_BL = clip.logits(torch.from_numpy(image_BE), torch.from_numpy(text_LE)).softmax(1)
    for path, expected_L in zip(pictures, expected_BL, strict=True):
        shares = seen["shares"][path.name]
        assert dict(shares) == pytest.approx(dict(zip(LABELS, expected_L.tolist(), strict=True)), abs=1e-3)
        assert [share for _, share in shares] == sorted((share for _, share in shares), reverse=True)
    best = {name: text.rpartition(" ")[0] for name, _, text in seen["best"]}
    assert best == {path.name: seen["shares"][path.name][0][0] for path in pictures}
    opened_BE = open_web(folder, folder).embed_images([Image.open(path) for path in pictures])
    assert np.allclose(opened_BE, image_BE, atol=1e-5)


@pytest.mark.parametrize("family", ["siglip", "metaclip_2"])
def test_other_families_rank_and_judge_alike(
    family: str, tools: Tools, page: Callable[..., tuple[Clip, Path]], pictures: list[Path]
) -> None:
    clip, folder = page(family)
    texts = [*TEXTS, *any_texts(300)]
    told = {"query": QUERY, "labels": LABELS, "template": TEMPLATE, "texts": texts}
    with served(folder) as url:
        seen = use(tools, url, pictures=list(map(str, pictures)), **told)
    assert_quiet(seen)
    assert_ranked(seen, clip, pictures, 1e-5)
    assert seen["ids"] == [clip.tokenize([text])["input_ids"][0].tolist() for text in texts]
    image_BE, text_LE = embeddings(clip, pictures, [TEMPLATE.replace("{}", label) for label in LABELS])
    logits_BL = clip.logits(torch.from_numpy(image_BE), torch.from_numpy(text_LE))
    expected_BL = logits_BL.sigmoid() if family == "siglip" else logits_BL.softmax(1)
    for path, expected_L in zip(pictures, expected_BL, strict=True):
        expected = dict(zip(LABELS, expected_L.tolist(), strict=True))
        assert dict(seen["shares"][path.name]) == pytest.approx(expected, abs=1e-3)


def test_texts_are_read_as_by_the_tokenizer(
    tools: Tools, page: Callable[..., tuple[Clip, Path]], address: str
) -> None:
    clip, _ = page()
    texts = [*TEXTS, *any_texts(1000)]
    seen = use(tools, address, texts=texts)
    differing = [
        text
        for text, ids in zip(texts, seen["ids"], strict=True)
        if ids != clip.tokenize([text])["input_ids"][0].tolist()
    ]
    assert differing == []
    assert len(seen["ids"][TEXTS.index("word " * 90)]) == clip.max_tokens


def test_int8_on_an_isolated_page_answers_nearly_the_same(
    tools: Tools, page: Callable[..., tuple[Clip, Path]], pictures: list[Path]
) -> None:
    clip, folder = page(activations="int8")
    with served(folder, ISOLATED) as url:
        seen = use(tools, url, pictures=list(map(str, pictures)), query=QUERY)
    assert_quiet(seen)
    assert seen["isolated"]  # so that it ran with threads
    assert_ranked(seen, clip, pictures, 0.05)


def test_jpegs_transparency_and_rotation_are_taken_as_in_python(
    tools: Tools, page: Callable[..., tuple[Clip, Path]], address: str, pictures: list[Path], tmp_path: Path
) -> None:
    clip, _ = page()
    picture = Image.open(pictures[6]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # asks viewers for a quarter turn
    translucent = picture.convert("RGBA")
    translucent.putalpha(Image.linear_gradient("L").resize(picture.size))
    files = {
        "plain.jpg": encoded(picture, format="JPEG", quality=90),
        "turned.jpg": encoded(picture, format="JPEG", quality=90, exif=exif),
        "grey.jpg": encoded(picture.convert("L"), format="JPEG"),
        "translucent.png": encoded(translucent, format="PNG"),
        "lossless.webp": encoded(picture, format="WEBP", lossless=True),
        "first.gif": encoded(picture, format="GIF"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    paths = sorted(tmp_path.iterdir())
    seen = use(tools, address, pictures=list(map(str, paths)), query=QUERY)
    assert_quiet(seen)
    assert_ranked(seen, clip, paths, 2e-3)  # decoders of JPEG, and blending, differ in the last bit
    found = {name: cosine for name, cosine, _ in seen["ranking"]}
    assert found["turned.jpg"] == found["plain.jpg"]


def test_a_folder_is_taken_and_what_is_no_picture_is_said(
    tools: Tools, address: str, pictures: list[Path], tmp_path: Path
) -> None:
    for place in ("a", "b"):
        (tmp_path / "photos" / place).mkdir(parents=True)
        (tmp_path / "photos" / place / "same.png").write_bytes(pictures[0].read_bytes())
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / "broken.png").write_bytes(pictures[0].read_bytes()[:40])
    seen = use(tools, address, directory=str(tmp_path / "photos"), query=QUERY)
    assert sorted(name for name, _, _ in seen["ranking"]) == ["photos/a/same.png", "photos/b/same.png"]
    assert seen["title"] == "2 pictures"
    assert sorted(seen["problems"]) == [
        "1 of 4 files are no pictures and were left out.",
        "photos/broken.png: no picture that this browser can read.",
    ]


def test_a_single_file_that_is_no_picture_is_said(tools: Tools, address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    seen = use(tools, address, pictures=[str(tmp_path / "notes.txt")])
    assert seen["problems"] == ["notes.txt: no picture that this browser can read."]
    assert seen["title"] == "No pictures yet"
