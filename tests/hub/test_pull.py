"""Pulling: what is fetched, what is checked, where it goes, and what is refused."""

import shutil
from pathlib import Path

import pytest

from tclip.errors import FormatError, HubError, ModelError, UserError
from tclip.hub.pull import pull
from tclip.packed.load import load_packed
from tclip.packed.size import measure
from tclip.progress import Collected
from tclip.run import Run
from tests.hub.making import BASE
from tests.hub_server import Fault, HubServer

PACKED = {
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture
def there(hub: HubServer, run: Run, tmp_path: Path) -> Path:
    """The folder of me/tiny on the Hub: what a push leaves."""
    folder = Path(shutil.copytree(run.packed, tmp_path / "there"))
    (folder / "onnx").mkdir()
    for name in ("README.md", "recipe.yaml", "onnx/config.json", "onnx/image_encoder.onnx"):
        (folder / name).write_text("{}")
    hub.add("me/tiny", folder)
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_packed_model_goes_to_the_cache(hub: HubServer, there: Path, run: Run) -> None:
    progress = Collected()
    folder = pull("me/tiny", None, None, progress)
    assert names(folder) == PACKED
    assert (folder / "model.safetensors").read_bytes() == (run.packed / "model.safetensors").read_bytes()
    (table,) = progress.tables
    told = dict(table.rows)
    assert told["folder"] == str(folder)
    assert told["commit"] == hub.repos["models", "me/tiny"].commit("main")
    assert told["bytes of model.safetensors"] == (run.packed / "model.safetensors").stat().st_size
    assert told["weights"] == measure(run.packed).num_weights
    assert progress.notes[-1].endswith("--model me/tiny")


def test_everything(hub: HubServer, there: Path, tmp_path: Path) -> None:
    folder = pull("me/tiny", None, tmp_path / "out", Collected(), everything=True)
    assert names(folder) == names(there)


def test_to_a_folder_of_its_own(hub: HubServer, there: Path, tmp_path: Path) -> None:
    progress = Collected()
    out = tmp_path / "models" / "tiny"
    assert pull("me/tiny", None, out, progress) == out
    assert names(out) == PACKED
    assert not [path for path in out.iterdir() if path.is_symlink()]
    shutil.rmtree(tmp_path / "cache")
    assert len(load_packed(out).ternary) > 0
    assert progress.notes[-1].endswith(f"--model {out}")
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]
    pull("me/tiny", None, out, Collected(), everything=True)  # over an earlier one
    assert names(out) == names(there)


def test_what_stands_in_the_way_stays(hub: HubServer, there: Path, tmp_path: Path, base: Path) -> None:
    for kind in ("notes", "dense"):
        out = tmp_path / kind
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        if kind == "dense":
            shutil.copytree(base, out, dirs_exist_ok=True)
        with pytest.raises(
            UserError, match="is there and is no packed model: give another folder with --out"
        ):
            pull("me/tiny", None, out, Collected())
        assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    pull("me/tiny", None, tmp_path / "empty", Collected())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is there and is no packed model"):
        pull("me/tiny", None, tmp_path / "file", Collected())
    assert hub.fetched("me/tiny") == sorted(PACKED)


def test_a_revision(hub: HubServer, there: Path, run: Run, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run.packed, tmp_path / "other"))
    (other / "vocab.txt").write_text("another")
    hub.add("me/tiny", other, revision="v2")
    progress = Collected()
    assert names(pull("me/tiny", "v2", None, progress)) == PACKED | {"vocab.txt"}
    assert progress.notes[-1].endswith("--model me/tiny --revision v2")
    with pytest.raises(ModelError, match="me/tiny has no revision v9"):
        pull("me/tiny", "v9", None, Collected())


def test_a_second_pull_asks_only_whether_it_has_moved(hub: HubServer, there: Path) -> None:
    pull("me/tiny", None, None, Collected())
    hub.requests.clear()
    pull("me/tiny", None, None, Collected())
    assert not [
        request for request in hub.requests if request.method == "GET" and "/resolve/" in request.path
    ]


def test_a_damaged_model_is_refused(hub: HubServer, there: Path, tmp_path: Path) -> None:
    data = bytearray((there / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (there / "model.safetensors").write_bytes(data)
    with pytest.raises(FormatError, match=r"have changed; .*`hf cache rm model/me/tiny` removes it"):
        pull("me/tiny", None, tmp_path / "out", Collected())
    assert not (tmp_path / "out").exists()


def test_what_is_not_packed_is_refused_before_its_weights_are_fetched(hub: HubServer) -> None:
    with pytest.raises(ModelError, match="org/clip is not packed by tclip: compress it with `tclip compress"):
        pull(BASE, None, None, Collected())
    assert "model.safetensors" not in hub.fetched(BASE)


def test_a_folder_here_of_that_name(
    hub: HubServer, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "me" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="me/tiny is a folder here, which every command takes"):
        pull("me/tiny", None, None, Collected())


def test_an_interrupted_pull_leaves_what_was_there_and_goes_on(
    hub: HubServer, there: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pull("me/tiny", None, out, Collected())
    (there / "onnx" / "image_encoder.onnx").write_bytes(b"x" * 5000)
    fault = Fault("image_encoder.onnx", drop_after=1000)
    hub.faults.append(fault)
    with pytest.raises(HubError, match=r"broke while fetching its files .*: run the command again"):
        pull("me/tiny", None, out, Collected(), everything=True)
    assert names(out) == PACKED
    fault.times = 0
    pull("me/tiny", None, out, Collected(), everything=True)
    assert names(out) == names(there)


def test_who_may_not_see_it(hub: HubServer, there: Path) -> None:
    hub.repos["models", "me/tiny"].private = True
    with pytest.raises(ModelError, match="if it is private, log in with `hf auth login`"):
        pull("me/tiny", None, None, Collected())
