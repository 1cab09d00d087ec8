"""The guides' commands and programs run as they are written, one after the other, in one folder."""

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tclip.cli.app import main
from tclip.data.pairs import open_pairs
from tclip.demo.dataset import model_folder, write_scenes
from tests.models.open_clip_reference import open_clip_folder

DOCS = Path(__file__).parents[2] / "docs"
# in order: what one page leaves, the next may use
PAGES = (
    "guide.md",
    "suite.md",
    "report.md",
    "format.md",
    "runtime.md",
    "onnx.md",
    "open_clip.md",
    "hub.md",
    "transformers.md",
    "dense.md",
    "gguf.md",
    "mixed.md",
    "training.md",
)
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples(page: str) -> list[tuple[str, str]]:
    """The blocks of a page in order: language and text."""
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(model_folder(), tmp_path / "my-clip")
    data = write_scenes(tmp_path / "drawn", num_train=96, num_test=64, seed=0)
    data.scenes.rename(tmp_path / "pairs")
    (tmp_path / "photos").mkdir()
    for index, sample in enumerate(islice(open_pairs(str(tmp_path / "pairs"), "test"), 6)):
        (tmp_path / "photos" / f"{index:02}.png").write_bytes(sample.image_bytes)
    (tmp_path / "sets").mkdir()
    data.shapes.rename(tmp_path / "sets" / "shapes")
    open_clip_folder(tmp_path / "my-open-clip")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path


def commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        assert program == "tclip", line
        yield arguments


@pytest.mark.timeout(900)
def test_every_example_of_the_pages_runs(users_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for page in PAGES for block in examples(page)]
    assert {language for language, _ in blocks} == {"sh", "python"}
    for language, text in blocks:
        if language == "sh":
            for arguments in commands(text):
                code = main(arguments)
                assert code == 0, (arguments, capsys.readouterr().err)
        else:
            (users_folder / "example.py").write_text(text, encoding="utf-8")
            runpy.run_path("example.py")
    assert (users_folder / "runs/try/onnx/text_encoder.onnx").is_file()
    assert (users_folder / "found.png").is_file()
    assert "ternary weights; one of them:" in capsys.readouterr().out
