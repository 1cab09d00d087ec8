"""The command of docs/web.md, run as it is written; the page that it leaves is used."""

from pathlib import Path

import pytest

from tclip.cli.app import main
from tclip.demo.dataset import model_folder
from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tclip.recipe.schema import Data, Recipe
from tclip.recipe.write import write_recipe
from tests.browser.driving import Tools, served, use
from tests.docs.test_examples import commands, examples
from tests.ternarizing import ternarized

TEXTS = ("a red circle", "a blue square", "two green stars", "a yellow cross", "a ring", "three dots")


@pytest.mark.browser
def test_the_page_of_the_guide_works(
    tools: Tools,
    libraries: dict[str, bytes],
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TCLIP_CACHE", str(tools.folder))
    clip = ternarized(load_dense(str(model_folder())))
    write_packed(clip, Path("runs/try/packed"))
    rows = [f"{path},a picture of number {number}" for number, path in enumerate(pictures)]
    Path("captions.csv").write_text("\n".join(["filepath,caption", *rows]))
    recipe = Recipe(schema=1, data=Data(train=(str(Path("captions.csv").absolute()),)))
    write_recipe(recipe, Path("runs/try/recipe.yaml"))
    ((language, text),) = examples("web.md")
    assert language == "sh"
    for arguments in commands(text):
        assert main(arguments) == 0
    with served(Path("runs/try/web")) as url:
        seen = use(tools, url, pictures=list(map(str, pictures)), query="a red circle")
    assert (seen["foreign"], seen["said"], seen["problems"]) == ([], [], [])
    assert len(seen["ranking"]) == len(pictures)
