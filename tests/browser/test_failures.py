"""What is wrong with a page is said on it, in a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tclip.models.clip import Clip
from tests.browser.driving import Tools, served, use
from tests.tiny import edit_json

pytestmark = pytest.mark.browser


@pytest.fixture
def site(page: Callable[..., tuple[Clip, Path]], tmp_path: Path) -> Path:
    """A copy of the tiny CLIP's page that a test may damage."""
    return Path(shutil.copytree(page()[1], tmp_path / "site"))


def problems(tools: Tools, site: Path) -> list[str]:
    with served(site) as url:
        return use(tools, url)["problems"]


def test_a_file_that_was_not_copied(tools: Tools, site: Path) -> None:
    (site / "text_encoder.onnx").unlink()
    assert problems(tools, site) == [
        "The model cannot be loaded. text_encoder.onnx cannot be fetched (404): "
        "put the whole folder that tclip wrote on the server."
    ]


def test_a_file_that_was_copied_in_part(tools: Tools, site: Path) -> None:
    path = site / "image_encoder.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    assert problems(tools, site) == [
        "The model cannot be loaded. image_encoder.onnx has another length than model.json says: "
        "put the whole folder on the server again."
    ]


def test_a_script_that_is_missing(tools: Tools, site: Path) -> None:
    (site / "lib" / "ort.js").unlink()
    (said,) = problems(tools, site)
    assert said.startswith("The model cannot be loaded. A script of this page cannot be loaded")


def test_a_tokenizer_that_reads_otherwise_than_python(tools: Tools, site: Path) -> None:
    tokenizer = json.loads((site / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["cat</w>"], vocabulary["dog</w>"] = vocabulary["dog</w>"], vocabulary["two</w>"]
    size = (site / "tokenizer.json").stat().st_size
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (site / "tokenizer.json").write_text(text)
    sizes = json.loads((site / "model.json").read_text())["bytes"]
    edit_json(site / "model.json", bytes=sizes | {"tokenizer.json": (site / "tokenizer.json").stat().st_size})
    assert abs(len(text.encode()) - size) < 10
    (said,) = problems(tools, site)
    assert said.startswith('The model cannot be loaded. This browser reads the text "')


def test_a_damaged_model(tools: Tools, site: Path) -> None:
    path = site / "text_encoder.onnx"
    path.write_bytes(b"\xff" * path.stat().st_size)
    (said,) = problems(tools, site)
    assert said.startswith("The model cannot be loaded. ")
