"""What the page's folder holds, and what is refused before anything is written; tests/browser drives it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tclip.errors import ModelError
from tclip.export import onnx as writer
from tclip.export import web
from tclip.export.browser import FILTERS, PROBES, check_family, image_steps, text_steps
from tclip.export.npm import PACKAGES
from tclip.export.onnx import IMAGE_FILE, TEXT_FILE
from tclip.export.web import PAGE, export_web, open_web, web_export
from tclip.models.load import load_dense
from tclip.progress import Collected
from tests.export.conftest import Exported
from tests.ternarizing import ternarized
from tests.tiny import IMAGE_SIZE, MAX_TOKENS, edit_json

LIBRARIES = {name: name.encode() for package in PACKAGES for name, _ in package.files.values()}


@pytest.fixture
def traced_before(exported: Callable[[str], Exported], monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny CLIP is not traced again."""
    monkeypatch.setattr(writer, "trace_towers", lambda clip: exported("clip").traced)


@torch.no_grad()
def test_the_folder_is_whole(
    traced_before: None, exported: Callable[[str], Exported], images: list[Image.Image], tmp_path: Path
) -> None:
    clip, folder = exported("clip").clip, tmp_path / "a" / "web"
    files = export_web(clip, folder, LIBRARIES, "float")
    assert {file.path for file in files} == {path for path in folder.rglob("*") if path.is_file()}
    assert [file.num_bytes for file in files] == sorted((f.num_bytes for f in files), reverse=True)
    for path in PAGE.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in (folder / "lib").iterdir()} == {*LIBRARIES, "licences.json"}
    assert list(json.loads((folder / "lib" / "licences.json").read_text())) == [
        each.spec for each in PACKAGES
    ]
    told = json.loads((folder / "model.json").read_text())
    assert told["bytes"] == {name: (folder / name).stat().st_size for name in told["bytes"]}
    assert {told["image_encoder"], told["text_encoder"], "tokenizer.json", "lib/ort.wasm"} <= set(
        told["bytes"]
    )
    assert told["logit_scale"] == pytest.approx(float(clip.model.logit_scale.exp()))
    assert (told["family"], told["logit_bias"]) == ("CLIP", None)
    assert "/" not in told["name"]
    assert ": " not in (folder / "tokenizer.json").read_text()[:200]
    expected_BE = clip.embed_images(clip.preprocess(images)).numpy()
    assert np.allclose(open_web(folder, folder).embed_images(images), expected_BE, atol=1e-4)


def test_a_failure_leaves_the_old_folder(
    traced_before: None,
    exported: Callable[[str], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "index.html").write_text("the old page")
    monkeypatch.setattr(web, "document", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_web(exported("clip").clip, folder, LIBRARIES)
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    assert list(tmp_path.iterdir()) == [folder]


def test_the_page_names_only_files_that_are_there() -> None:
    there = {path.name for path in PAGE.iterdir()} | {f"lib/{name}" for name in LIBRARIES}
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        named = set(
            re.findall(r'from "\./([^"]+)"|new URL\("([^"]+)", import|(?:src|href)="([^"#:]+)"', text)
        )
        assert {name for match in named for name in match if name} <= there, path.name
        assert "http://" not in text.replace("http://localhost", "") and "https://" not in text, path.name
        assert len(text.splitlines()) <= 330 if path.suffix == ".css" else 250


@pytest.mark.parametrize("family", ["siglip2", "chinese_clip", "altclip", "vision-text-dual-encoder"])
def test_other_families_are_refused_by_name(family: str, tiny_folder: Callable[[str], Path]) -> None:
    clip = load_dense(str(tiny_folder(family)))
    with pytest.raises(ModelError, match=f"is a {clip.family.title}, which the page cannot run"):
        check_family(clip)


def test_filters_and_steps_that_the_page_lacks_are_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    clip = load_dense(str(tiny_folder("clip")))
    clip.image_processor.save_pretrained(tmp_path)
    assert image_steps(clip, tmp_path) == {
        "size": (IMAGE_SIZE, IMAGE_SIZE),
        "resize": IMAGE_SIZE,
        "filter": "bicubic",
        "crop": (IMAGE_SIZE, IMAGE_SIZE),
    }
    edit_json(tmp_path / "preprocessor_config.json", resample=0)
    with pytest.raises(
        ModelError, match=r"PIL's filter 0, which the page does not have: it has lanczos \(1\)"
    ):
        image_steps(clip, tmp_path)
    edit_json(tmp_path / "preprocessor_config.json", resample=3, do_pad=True)
    with pytest.raises(ModelError, match="do_pad"):
        image_steps(clip, tmp_path)


def test_filters_bear_pils_numbers() -> None:
    assert {number: Image.Resampling(number).name.lower() for number in FILTERS} == FILTERS


def test_texts_to_compare_come_with_the_tokenizers_ids(tiny_folder: Callable[[str], Path]) -> None:
    for family in ("clip", "siglip"):
        told = text_steps(load_dense(str(tiny_folder(family))))
        assert [probe["text"] for probe in told["probes"]] == list(PROBES)
        assert max(len(probe["ids"]) for probe in told["probes"]) == told["max_tokens"] == MAX_TOKENS
        assert told["pad_to"] == (MAX_TOKENS if family == "siglip" else None)


def test_a_run_is_checked_before_anything_is_fetched(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = ternarized(load_dense(str(tiny_folder("chinese_clip"))))
    monkeypatch.setattr(web, "library_files", lambda *arguments: pytest.fail("fetched"))
    with pytest.raises(ModelError, match="is a Chinese-CLIP"):
        web_export(None, "int8", Collected())(clip, tmp_path / "web")


def test_the_exporter_fetches_the_libraries_and_lists_the_files(
    traced_before: None,
    exported: Callable[[str], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "library_files", lambda *arguments: LIBRARIES)
    files = web_export(None, "int8", Collected())(exported("clip").clip, tmp_path / "web")
    assert {file.path for file in files} == {path for path in (tmp_path / "web").rglob("*") if path.is_file()}
    assert {IMAGE_FILE, TEXT_FILE} <= {file.path.name for file in files}
    assert [file.num_bytes for file in files] == sorted((file.num_bytes for file in files), reverse=True)
