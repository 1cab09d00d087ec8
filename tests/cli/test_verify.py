"""tclip verify, as its users run it."""

import json
import shutil

import pytest

from tclip.run import open_run
from tests.verify.conftest import _run_once  # noqa: F401  (a fixture)


@pytest.fixture
def run_folder(_run_once, tmp_path):  # noqa: F811
    return shutil.copytree(_run_once, tmp_path / "run")


def test_verify_shows_every_form(tclip, run_folder):
    done = tclip("verify", str(run_folder), "--json", "--samples", "4")
    assert done.code == 0, done.err
    (table,) = (json.loads(line) for line in done.out.splitlines() if '"table"' in line)
    assert [row[0] for row in table["rows"]] == ["calibrated", "packed", "runtime", "transformers"]


def test_a_mistake_and_a_failure_have_their_exit_codes(tclip, run_folder):
    done = tclip("verify", str(run_folder), "--form", "trained")
    assert (done.code, "has no trained" in done.err) == (2, True), done.err
    shutil.rmtree(run_folder / "calibrated")
    shutil.copytree(run_folder / "packed", run_folder / "calibrated")
    config = json.loads((run_folder / "calibrated" / "config.json").read_text())
    config["text_config"]["hidden_act"] = config["vision_config"]["hidden_act"] = "relu"
    (run_folder / "calibrated" / "config.json").write_text(json.dumps(config))
    done = tclip("verify", str(run_folder), "--samples", "4")
    assert (done.code, "calibrated: the mean cosine" in done.err) == (1, True), done.err


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("verify",), "verify"),
        (("export", "transformers"), "export"),
        (("export", "gguf"), "export"),
        (("export", "web"), "export"),
        (("export", "onnx", "--beside"), "export"),
    ],
)
def test_a_packed_model_that_the_run_has_left_behind_is_refused(tclip, run_folder, command, what):
    before = sorted(run_folder.iterdir())
    open_run(run_folder).forget(["pack"])
    done = tclip(*command, str(run_folder))
    assert done.code == 2
    why = f"is not ready for {what}, pack is missing: run `tclip pack {run_folder}` first."
    assert done.err == f"tclip: {run_folder} {why}\n"
    assert sorted(run_folder.iterdir()) == before
