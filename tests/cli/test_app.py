"""Help, version, suggestions, exit codes and tracebacks."""

import errno
import subprocess
import sys

import pytest

from tclip.cli import app as app_module
from tclip.errors import DataError

COMMANDS = (
    *("compress", "calibrate", "train", "pack", "export", "eval", "report", "inspect", "recipes"),
    *("classify", "embed", "search", "bench"),
)


def _raise(monkeypatch, error):
    """Make every command raise."""

    def fail(**_):
        raise error

    monkeypatch.setattr(app_module, "app", fail)


def test_help_names_every_command(tclip):
    for arguments in (("--help",), ("-h",), ()):
        outcome = tclip(*arguments)
        assert outcome.code == 0
        assert all(command in outcome.out for command in COMMANDS)
        assert "TCLIP_DEBUG" in outcome.out


@pytest.mark.parametrize("command", [*[[name] for name in COMMANDS], ["export", "onnx"], ["recipes", "show"]])
def test_every_command_has_help(tclip, command):
    outcome = tclip(*command, "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out


def test_version(tclip):
    outcome = tclip("--version")
    assert (outcome.code, outcome.out.split()[0]) == (0, "tclip")


def test_nothing_heavy_is_imported_for_help():
    # pydantic is not among them: typer itself imports it.
    heavy = {"torch", "transformers", "onnx", "onnxruntime", "numpy", "yaml", "PIL", "huggingface_hub"}
    heavy |= {"accelerate", "datasets", "tclip.recipe.schema", "tclip.run"}
    code = (
        "import sys; from tclip.cli.app import main; main(['compress', '--help']); main(['--help']); "
        f"sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_runs_the_command_line():
    command = [sys.executable, "-m", "tclip.cli", "comress"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "compress" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["comress"], "compress"),
        (["recipes", "lst"], "list"),
        (["export", "onx", "run"], "onnx"),
        (["compress", "--recpe", "best"], "--recipe"),
        (["train", "run", "--resum"], "--resume"),
    ],
)
def test_unknown_commands_and_options_get_a_suggestion(tclip, arguments, suggestion):
    outcome = tclip(*arguments)
    assert outcome.code == 2
    assert suggestion in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""


def test_a_missing_argument_is_named(tclip):
    outcome = tclip("train")
    assert outcome.code == 2
    assert "RUN" in outcome.err
    assert "tclip train --help" in outcome.err


def test_a_users_mistake_is_one_sentence_and_exit_2(tclip, monkeypatch):
    _raise(monkeypatch, DataError("No images in x: give another folder."))
    outcome = tclip("inspect", "x")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "tclip: No images in x: give another folder.\n"


def test_debug_shows_the_traceback(tclip, monkeypatch):
    _raise(monkeypatch, DataError("no images"))
    monkeypatch.setenv("TCLIP_DEBUG", "1")
    with pytest.raises(DataError):
        tclip("inspect", "x")


def test_a_failing_machine_is_one_sentence_and_exit_1(tclip, monkeypatch):
    _raise(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "runs/b32/model.safetensors"))
    outcome = tclip("inspect", "x")
    assert outcome.code == 1
    assert "disk is full" in outcome.err
    assert "runs/b32/model.safetensors" in outcome.err


def test_a_bug_crashes_loudly(tclip, monkeypatch):
    _raise(monkeypatch, KeyError("a bug"))
    with pytest.raises(KeyError):
        tclip("inspect", "x")


def test_ctrl_c_is_one_sentence_and_exit_130(tclip, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("tclip.run.open_run", interrupt)
    outcome = tclip("pack", "x")
    assert outcome.code == 130
    assert "--resume" in outcome.err
    assert outcome.err.count("\n") == 1
