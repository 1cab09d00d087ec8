"""Registering works in whatever order things are imported, and leaves the import machinery as it was."""

import importlib
import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tclip.plugin import hook

FAKE = "registry_of_this_test"
MAPPINGS = "AUTO_QUANTIZER_MAPPING, AUTO_QUANTIZATION_CONFIG_MAPPING"
NAMES = "TclipQuantizer TclipConfig"


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_tclip_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'safetensors', 'huggingface_hub'}"
    assert printed(f"import sys, tclip; print(*sorted({heavy} & set(sys.modules)))") == ""


@pytest.mark.parametrize(
    "imports",
    [
        f"import tclip, sys; from transformers.quantizers.auto import {MAPPINGS};"
        "del sys.modules['tclip']; import tclip",
        f"from transformers.quantizers.auto import {MAPPINGS}; import tclip",
    ],
    ids=["tclip first, and again", "transformers first"],
)
def test_every_order_of_imports_registers(imports: str) -> None:
    names = [f"{mapping}['tclip'].__name__" for mapping in MAPPINGS.split(", ")]
    assert printed(f"{imports}; print({', '.join(names)})") == NAMES


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ModuleType]:
    """A module in the place of the registry, not imported yet; the list grows when it is registered with."""
    (tmp_path / f"{FAKE}.py").write_text("answer = 42\n")
    calls: list[ModuleType] = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hook, "REGISTRY", FAKE)
    monkeypatch.setattr(hook, "_register", calls.append)
    monkeypatch.delitem(sys.modules, FAKE, raising=False)
    # neither ours nor the one of pytest, which loads everything its own way
    finders = [
        x for x in sys.meta_path if not (hasattr(x, "registers_tclip") or "pytest" in type(x).__module__)
    ]
    monkeypatch.setattr(sys, "meta_path", finders)
    hook.install()
    return calls


def test_the_module_is_as_anybody_would_have_imported_it(registered: list[ModuleType]) -> None:
    assert registered == []
    module = importlib.import_module(FAKE)
    assert registered == [module]
    assert module.answer == 42
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_installing_again_changes_nothing(registered: list[ModuleType]) -> None:
    finders = list(sys.meta_path)
    hook.install()
    assert sys.meta_path == finders
    module = importlib.import_module(FAKE)
    importlib.import_module(FAKE)
    assert registered == [module]


def test_what_is_in_memory_already_is_registered_with_at_once(registered: list[ModuleType]) -> None:
    module = importlib.import_module(FAKE)
    registered.clear()
    hook.install()
    assert registered == [module]


def test_a_module_that_is_loaded_anew_is_registered_with_anew(registered: list[ModuleType]) -> None:
    module = importlib.import_module(FAKE)
    importlib.reload(module)
    assert registered == [module, module]


def test_who_only_looks_for_the_module_gets_its_loader(registered: list[ModuleType]) -> None:
    spec = importlib.util.find_spec(FAKE)
    assert spec is not None
    assert spec.loader is not None
    assert spec.loader.get_source(FAKE) == "answer = 42\n"  # type: ignore[attr-defined]
    assert registered == []
    assert FAKE not in sys.modules


def test_other_modules_are_not_touched(registered: list[ModuleType]) -> None:
    (finder,) = [finder for finder in sys.meta_path if getattr(finder, "registers_tclip", False)]
    assert finder.find_spec("colorsys", None) is None
    assert importlib.util.find_spec("a_module_that_is_nowhere") is None
    assert registered == []


def test_a_registry_that_is_not_installed_stays_missing(
    registered: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "REGISTRY", "a_registry_that_is_nowhere")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("a_registry_that_is_nowhere")


def test_an_old_transformers_is_warned_of_and_works_on(
    registered: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "tclip.plugin.register", None)  # importing it fails
    with pytest.warns(RuntimeWarning, match=r"tclip could not join transformers .*will not load packed"):
        hook._register(ModuleType("old"))
