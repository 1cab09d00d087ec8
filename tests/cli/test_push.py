"""tclip push and tclip pull, as their users run them; and the commands that take what was pushed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tclip.run import Run
from tests.hub.conftest import base, hub, run, whole_run  # noqa: F401 (fixtures)
from tests.hub_repos import User
from tests.hub_server import Fault, HubServer
from tests.hub_uploads import uploaded

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def me(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:  # noqa: F811
    """The Hub, logged in as me."""
    hub.log_in(monkeypatch, User("me"))
    return hub


@pytest.fixture
def pushed(tclip, run: Run, me: HubServer) -> HubServer:  # noqa: F811
    """The Hub with me/tiny, and nobody logged in."""
    assert tclip("push", str(run.folder), "me/tiny").code == 0
    return me


def tables(out: str) -> list[dict]:
    return [event for line in out.splitlines() if (event := json.loads(line))["event"] == "table"]


def test_push_verifies_sends_and_tells(tclip, run: Run, me: HubServer) -> None:  # noqa: F811
    done = tclip("push", str(run.folder), "me/tiny", "--private", "--json")
    assert done.code == 0, done.err
    files, verified, outcome = tables(done.out)
    assert {"packed", "runtime"} <= {row[0] for row in verified["rows"]}
    there = uploaded(me.repos["models", "me/tiny"])
    assert {row[0] for row in files["rows"]} - {"all"} == set(there) - {".gitattributes"} - {
        "results/verify.json"
    }
    assert dict(outcome["rows"])["commit"] == me.repos["models", "me/tiny"].commit("main")
    assert me.repos["models", "me/tiny"].private


def test_dry_run_shows_files_and_card(tclip, run: Run, hub: HubServer) -> None:  # noqa: F811
    done = tclip("push", str(run.folder), "me/tiny", "--dry-run", "--license", "apache-2.0")
    assert done.code == 0, done.err
    assert "license: apache-2.0" in done.err
    size = (run.packed / "model.safetensors").stat().st_size
    assert any(line.split() == ["model.safetensors", str(size)] for line in done.out.splitlines())
    assert [request.method for request in hub.requests if request.method not in ("HEAD", "GET")] == []


def test_a_mistake_and_a_failure_have_their_exit_codes(tclip, run: Run, hub: HubServer, monkeypatch) -> None:  # noqa: F811
    done = tclip("push", str(run.folder), "me/tiny")
    assert (done.code, done.err.count("tclip: Pushing needs a token that may write")) == (2, 1), done.err
    hub.log_in(monkeypatch, User("me"))
    hub.faults.append(Fault("/commit/main", status=500, times=1))
    done = tclip("push", str(run.folder), "me/tiny")
    assert (done.code, "tclip: The Hub failed while sending the files (500" in done.err) == (1, True), (
        done.err
    )
    assert tclip("push", str(run.folder), "me/tiny").code == 0
    assert hub.uploads.commits == {"me/tiny": 1}


def test_a_form_that_parts_from_the_model_is_not_sent(tclip, run: Run, me: HubServer) -> None:  # noqa: F811
    path = run.calibrated / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["hidden_act"] = config["vision_config"]["hidden_act"] = "relu"
    path.write_text(json.dumps(config))
    done = tclip("push", str(run.folder), "me/tiny")
    assert (done.code, "calibrated: the mean cosine" in done.err) == (1, True), done.err
    assert ("models", "me/tiny") not in me.repos


def test_pull_tells_where_and_how(tclip, pushed: HubServer, tmp_path: Path) -> None:
    done = tclip("pull", "me/tiny", "--out", str(tmp_path / "out"), "--all", "--json")
    assert done.code == 0, done.err
    (table,) = tables(done.out)
    assert dict(table["rows"])["folder"] == str(tmp_path / "out")
    assert (tmp_path / "out" / "recipe.yaml").is_file()
    shown = tclip("inspect", str(tmp_path / "out"), "--json")  # its recipe does not make it a run
    assert (shown.code, "are ternary" in shown.out) == (0, True), shown.err
    done = tclip("pull", "me/tiny")
    assert (done.code, "--model me/tiny" in done.err) == (0, True)


def test_every_command_takes_what_was_pushed(tclip, pushed: HubServer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (40, 30), name).save(photos / f"{name}.png")
    model = ("--model", "me/tiny")
    for arguments in (
        ("inspect", "me/tiny"),  # while nothing is in the cache
        ("classify", str(photos / "red.png"), "--labels", "cat,dog", *model),
        ("embed", str(photos), "-o", str(tmp_path / "vectors.npy"), *model),
        ("search", str(photos), "a cat", *model),
        ("bench", "me/tiny", "--batch", "1", "--seconds", "0.01", "--against", "none"),
    ):
        done = tclip(*arguments)
        assert done.code == 0, (arguments, done.err)
        assert "me/tiny" in done.out or arguments[0] == "search", done.out
    assert not [name for name in pushed.fetched("me/tiny") if "/" in name or name == "README.md"]


def test_what_is_ternary_is_not_compressed_again(tclip, pushed: HubServer, run: Run, tmp_path: Path) -> None:  # noqa: F811
    done = tclip(
        *("compress", "me/tiny", "--recipe", "ptq", "--out", str(tmp_path / "again")),
        *("--data", str(run.recipe.data.train[0])),
    )
    assert (done.code, "me/tiny is ternary already" in done.err) == (2, True), done.err


def test_in_a_process_of_its_own(run: Run, me: HubServer, tmp_path: Path) -> None:  # noqa: F811
    """As a user has it: HF_ENDPOINT and HF_TOKEN set, nothing patched, and nothing written beside."""
    script = (
        "from pathlib import Path; from tclip.hub.push import Stated, Target, push; "
        "from tclip.cli.show import showing; from tclip.run import open_run\n"
        f"with showing(json=False, quiet=True) as progress: push(open_run(Path({str(run.folder)!r})), "
        "Target('me/tiny'), Stated(), progress)"
    )
    environment = {**os.environ, **me.environment(tmp_path / "cache"), "HF_TOKEN": "hf_secret"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith("Pushed me/tiny\n")
    assert "model.safetensors" in uploaded(me.repos["models", "me/tiny"])
