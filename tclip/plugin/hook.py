"""Waiting for transformers without importing it.

`import tclip` must stay light, and transformers has no entry points that it would look into for quantizers.
So the quantizer is registered when the one module of transformers that holds the registry is imported, by
whomever and whenever, or at once where it is in memory already.
"""

import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

REGISTRY = "transformers.quantizers.auto"


def install() -> None:
    """Register the quantizer with transformers, now or as soon as it is imported; again changes nothing."""
    if not any(getattr(finder, "registers_tclip", False) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if REGISTRY in sys.modules:
        _register(import_module(REGISTRY))  # waits for another thread that is importing it


class _Finder:
    """Finds the registry as everybody else would, and has the quantizer registered after its import."""

    registers_tclip = True  # `install` knows it again even after tclip itself was imported anew

    def find_spec(
        self, fullname: str, path: Iterable[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the registry with a loader that registers; None for every other module."""
        if fullname != REGISTRY:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (
            find(fullname, path, target) for each in others if (find := getattr(each, "find_spec", None))
        )
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader:
    """Another loader, until the module has been executed; then that one is in its place again."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then register."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _register(module)


def _register(registry: ModuleType) -> None:
    try:
        from tclip.plugin.register import register

        register(registry)
    except ImportError as error:
        # whoever imports transformers for something else must not be stopped by us
        warnings.warn(
            f"tclip could not join transformers ({error}), which will not load packed folders: install "
            "the versions that tclip asks for.",
            RuntimeWarning,
            stacklevel=2,
        )
