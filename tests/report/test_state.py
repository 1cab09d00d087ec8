"""Which stages of a run are said to be out of date."""

import shutil

import pytest

from tclip.cli.app import main
from tclip.pipeline import stage_fingerprint
from tclip.recipe.schema import Eval, Export
from tclip.report.state import WHY, out_of_date, state_section
from tclip.run import STAGE_ORDER, Run
from tests.report.conftest import FINISHED

MISSING = dict.fromkeys(STAGE_ORDER, "missing")


def test_nothing_is_said_of_a_run_of_one_piece(run: Run) -> None:
    assert out_of_date(run, FINISHED) == []


def test_each_stage_is_named_with_what_mends_it(run: Run) -> None:
    for folder in (run.calibrated, run.onnx):
        folder.mkdir()
    found = out_of_date(run, dict.fromkeys(STAGE_ORDER, "stale"))
    assert all(WHY["stale"] in sentence for sentence in found)
    named = [(sentence.split(",")[0], sentence.rpartition("Run ")[2]) for sentence in found]
    assert named == [
        ("RUN/calibrated", "tclip calibrate RUN."),
        ("RUN/trained", "tclip train RUN."),
        ("RUN/packed", "tclip pack RUN."),
        ("RUN/onnx", "tclip export onnx RUN."),
        ("RUN/results", "tclip eval RUN."),
    ]
    assert state_section(found).text[1:] == tuple(found)


def test_stages_that_left_nothing_are_not_out_of_date(run: Run) -> None:
    for folder in (run.packed, run.steps, run.results):
        shutil.rmtree(folder)
    assert out_of_date(run, MISSING) == []


@pytest.mark.parametrize(("state", "command"), [("missing", "train RUN --resume."), ("stale", "train RUN.")])
def test_a_training_goes_on_only_with_the_settings_that_it_began_with(
    run: Run, state: str, command: str
) -> None:
    (sentence,) = out_of_date(run, FINISHED | {"train": state})
    assert sentence.endswith(command)


def test_what_the_recipe_does_not_ask_for_is_not_out_of_date(run: Run) -> None:
    run.onnx.mkdir()
    changes = {"train": None, "export": Export(onnx=None), "eval": Eval()}
    asks_little = Run(run.folder, run.recipe.model_copy(update=changes))
    (sentence,) = out_of_date(asks_little, MISSING)
    assert sentence.startswith("RUN/packed")


@pytest.mark.usefixtures("undrawn")
def test_the_command_knows_how_far_the_run_is(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.mark("calibrate", stage_fingerprint(run.recipe, "calibrate"), ())
    run.mark("train", "of other settings", ())
    assert main(["report", str(run.folder), "--queries", "0"]) == 0
    told = capsys.readouterr().err
    assert f"the trained model: {WHY['stale']}. Run tclip train {run.folder}." in told
    assert f"the packed model: {WHY['missing']}. Run tclip pack {run.folder}." in told
    assert "the calibrated model" not in told
