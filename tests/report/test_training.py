"""The log of training as curves."""

import pytest

from tclip.report.page import Absent, Section
from tclip.report.training import training_section
from tclip.run import Run

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_section_tells_how_far_and_how_long(run: Run) -> None:
    section = training_section(run)
    assert isinstance(section, Section)
    assert "up to step 30, of 128 pairs each, after 1.0 minutes" in section.text[0]
    assert "from 0.1 (step 10) to 0.03333" in section.text[0]


def test_whatever_else_is_logged_has_a_panel(run: Run) -> None:
    section = training_section(run)
    assert isinstance(section, Section)
    path = run.steps / "log.jsonl"
    path.write_text(path.read_text().replace('"lr"', '"flipped": 0.01, "lr"'))
    more = training_section(run)
    assert isinstance(more, Section)
    assert more.plots[0].height > section.plots[0].height


def test_no_training_and_no_log_are_told_apart(run: Run) -> None:
    (run.steps / "log.jsonl").unlink()
    absent = training_section(run)
    assert isinstance(absent, Absent) and absent.command == "tclip train RUN"
    never = training_section(Run(run.folder, run.recipe.model_copy(update={"train": None})))
    assert isinstance(never, Absent) and not never.command and "trains nothing" in never.why
