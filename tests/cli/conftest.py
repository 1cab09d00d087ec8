"""What tests of the command line share."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tclip.cli.app import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def tclip(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """tclip("recipes", "list") runs the command in this process."""
    monkeypatch.delenv("TCLIP_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()  # what fixtures wrote is not the command's
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
