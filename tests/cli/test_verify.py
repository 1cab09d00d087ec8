"""tclip verify, as its users run it."""

import json
import shutil

import pytest

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
