"""A push as the real client does it: what arrives, in how many commits, and what is not sent again."""

import json
import shutil
from pathlib import Path

import pytest

from tclip.errors import HubError, ParityError, UserError
from tclip.hub.push import Stated, Target, push
from tclip.progress import Collected
from tclip.run import Run
from tests.hub.making import with_onnx, with_recipe
from tests.hub_repos import Repo, User, etag, sha256
from tests.hub_server import HubServer
from tests.hub_uploads import uploaded

# the client's, when it hands a file to its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PACKED = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


@pytest.fixture
def me(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The Hub, logged in as me."""
    hub.log_in(monkeypatch, User("me", orgs=("lab",)))
    return hub


def pushed(run: Run, repo_id: str = "me/tiny", revision: str | None = None, **options: bool) -> Collected:
    progress = Collected()
    push(run, Target(repo_id, revision, options.get("private", False)), Stated(), progress)
    return progress


def the_repo(hub: HubServer, repo_id: str = "me/tiny") -> Repo:
    return hub.repos["models", repo_id]


def writes(hub: HubServer) -> list[str]:
    """The requests that change something, or would."""
    writing = ("/repos/create", "/commit/", "/branch/", "/preupload/", "/objects/batch", "/lfs-storage/")
    return [r.path for r in hub.requests if any(part in r.path for part in writing)]


def test_everything_arrives_in_one_commit(run: Run, me: HubServer) -> None:
    run = with_onnx(run)
    progress = pushed(run)
    there = uploaded(the_repo(me))
    assert me.uploads.commits == {"me/tiny": 1}
    for name in PACKED:
        assert there[name] == etag(name, (run.packed / name).read_bytes()), name
    for path in run.onnx.iterdir():
        assert there[f"onnx/{path.name}"] == etag(path.name, path.read_bytes()), path.name
    others = set(there) - set(PACKED) - {f"onnx/{path.name}" for path in run.onnx.iterdir()}
    assert others == {
        ".gitattributes",
        "README.md",
        "recipe.yaml",
        "results/calibration.json",
        "results/onnx.json",
        "results/table.json",
        *(f"results/{form}/{name}.json" for form in ("original", "packed") for name in ("pets", "seen")),
    }
    told = dict(progress.tables[-1].rows)
    assert told["address"] == f"{me.endpoint}/me/tiny"
    assert told["commit"] == the_repo(me).commit("main")
    assert told["hashes compared"] == told["files sent"] == len(there) - 1  # .gitattributes is the Hub's


def test_what_arrived_loads_as_the_model(run: Run, me: HubServer) -> None:
    from tclip.packed.load import load

    pushed(run)
    there, here = load("me/tiny"), load(run.packed)
    for name, tensor in here.ternary.items():
        assert (there.ternary[name].codes == tensor.codes).all(), name
        assert (there.ternary[name].scale_RG == tensor.scale_RG).all(), name
    assert set(me.fetched("me/tiny")) == set(PACKED) | {"config.json"}


def test_a_second_push_sends_nothing(run: Run, me: HubServer) -> None:
    pushed(run)
    me.requests.clear()
    progress = pushed(run)
    assert writes(me) == []
    assert me.uploads.commits == {"me/tiny": 1}
    assert "me/tiny holds these files already" in progress.notes
    assert dict(progress.tables[-1].rows)["files sent"] == 0


def test_only_what_changed_is_sent(run: Run, me: HubServer) -> None:
    run = with_onnx(run)
    pushed(run)
    before = uploaded(the_repo(me))
    first, me.requests[:] = len(me.sent()), []
    run = with_onnx(run, marker=b"newer")
    told = dict(pushed(run).tables[-1].rows)
    after = uploaded(the_repo(me))
    assert first == 3
    assert sorted(me.sent()) == sorted(sha256(p.read_bytes()) for p in run.onnx.glob("*.onnx"))
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {f"onnx/{path.name}" for path in run.onnx.iterdir()} | {"README.md"}  # it tells sizes
    assert told["files sent"] == len(changed)


def test_what_an_earlier_push_left_is_removed_and_nothing_else(run: Run, me: HubServer) -> None:
    pushed(with_onnx(run))
    repo = the_repo(me)
    for name in ("onnx/notes.md", "picture.png", "results/plot.png"):
        (repo.folders["main"] / name).write_bytes(b"by hand")
    shutil.rmtree(run.onnx)
    (run.results / "onnx.json").unlink()
    told = dict(pushed(with_recipe(run, export={"onnx": None})).tables[-1].rows)
    there = uploaded(repo)
    assert told["files of an earlier push removed"] == 5
    assert {"onnx/notes.md", "picture.png", "results/plot.png", "model.safetensors"} <= set(there)
    assert [name for name in there if name.startswith("onnx/")] == ["onnx/notes.md"]
    assert "results/onnx.json" not in there


def test_a_repository_of_an_organisation(run: Run, me: HubServer) -> None:
    pushed(run, "lab/tiny")
    assert "model.safetensors" in uploaded(the_repo(me, "lab/tiny"))


def test_private(run: Run, me: HubServer) -> None:
    pushed(run, private=True)
    assert the_repo(me).private
    pushed(run, private=True)  # again is fine
    the_repo(me).private = False
    me.requests.clear()
    with pytest.raises(UserError, match=r"me/tiny is there already, for all to see: .*--private"):
        pushed(run, private=True)
    assert writes(me) == []


def test_without_private_it_is_for_all_to_see(run: Run, me: HubServer) -> None:
    pushed(run)
    assert not the_repo(me).private


def test_a_branch_is_made_and_the_main_one_stays(run: Run, me: HubServer) -> None:
    pushed(run, revision="v2")
    assert list(uploaded(the_repo(me))) == [".gitattributes"]
    there = uploaded(the_repo(me), "v2")
    assert "model.safetensors" in there
    card = (the_repo(me).folders["v2"] / "README.md").read_text()
    assert 'load("me/tiny", revision="v2")' in card
    assert "--model me/tiny --revision v2" in card
    assert 'model="me/tiny", revision="v2")' in card
    pushed(run, revision="v2")
    assert me.uploads.commits == {"me/tiny": 1}


@pytest.mark.parametrize("revision", ["1" * 40, "v1"])
def test_what_never_changes_is_no_branch(run: Run, me: HubServer, revision: str) -> None:
    pushed(run)
    repo = the_repo(me)
    repo.folders["v1"] = repo.folders["main"]
    repo.tags.add("v1")
    with pytest.raises(UserError, match=f"--revision {revision} is a .*: give a branch"):
        pushed(run, revision=revision)


def test_what_the_hub_holds_is_compared(run: Run, me: HubServer) -> None:
    def spoil(path: str, content: bytes) -> bytes:
        return content[:-1] + b"?" if path in ("model.safetensors", "tokenizer_config.json") else content

    me.uploads.spoil = spoil
    with pytest.raises(HubError, match=r"me/tiny does not hold at commit .* what was sent") as caught:
        pushed(run)
    model, config = run.packed / "model.safetensors", run.packed / "tokenizer_config.json"
    assert f"\n  tokenizer_config.json: {config.stat().st_size:,} bytes with hash " in str(caught.value)
    assert f"instead of {model.stat().st_size:,} with {sha256(model.read_bytes())[:12]}" in str(caught.value)
    assert " config.json" not in str(caught.value)
    me.uploads.spoil = lambda path, content: content
    pushed(run)  # and running it again mends it


def test_verify_comes_before_anything_is_sent(run: Run, me: HubServer) -> None:
    seen: list[list[str]] = []

    def verify() -> None:
        seen.append(writes(me))
        raise ParityError("onnx parts from the packed model")

    with pytest.raises(ParityError):
        push(run, Target("me/tiny"), Stated(), Collected(), verify=verify)
    assert seen == [[]]
    assert writes(me) == []
    push(run, Target("me/tiny"), Stated(), Collected(), verify=lambda: seen.append([]))
    assert len(seen) == 2


def test_a_dry_run_needs_no_token_and_sends_nothing(run: Run, hub: HubServer) -> None:
    progress = Collected()

    def never() -> None:
        raise AssertionError

    push(run, Target("me/tiny"), Stated(), progress, dry_run=True, verify=never)
    assert {(r.method, r.path) for r in hub.requests} <= {
        (method, "/org/clip/resolve/main/README.md")
        for method in ("HEAD", "GET")  # for the license
    }
    (table,) = progress.tables
    sizes = {str(path): size for path, size in table.rows}
    for name in PACKED:
        assert sizes[name] == (run.packed / name).stat().st_size
    assert sizes["all"] == sum(size for path, size in sizes.items() if path != "all")
    assert any("README.md begins:\n---\nlicense: mit\n" in note for note in progress.notes)


def test_the_card_says_where_its_files_are_private(run: Run, me: HubServer, tmp_path: Path) -> None:
    pushed(with_onnx(run))
    folder = the_repo(me).folders["main"]
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".md", ".yaml"):
            assert str(tmp_path) not in path.read_text(), path
            assert "pytest" not in path.read_text(), path  # a part of every path here
    recipe = (folder / "recipe.yaml").read_text()
    assert "- pairs\n" in recipe and "- pets\n" in recipe and "id: org/clip" in recipe
    assert json.loads((folder / "results/packed/pets.json").read_text())["model"] == "org/clip"


@pytest.mark.parametrize("repo_id", ["tiny", "me/tiny/more", "me/", "me/ti ny", "me/a--b", ""])
def test_a_name_that_cannot_be(run: Run, me: HubServer, repo_id: str) -> None:
    with pytest.raises(UserError, match="cannot be a Hub id: give owner/name"):
        pushed(run, repo_id)
    assert me.requests == []
