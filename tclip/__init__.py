"""tclip turns any Hugging Face CLIP into a ternary CLIP: weights in {-1, 0, +1}, 1.6 bits each on disk."""

from typing import TYPE_CHECKING, Any

from tclip.errors import UserError
from tclip.plugin import hook as _hook

if TYPE_CHECKING:
    from tclip.packed.load import load
    from tclip.pipeline import compress
    from tclip.recipe.read import read_recipe
    from tclip.recipe.schema import Recipe

__version__ = "0.1.0"
__all__ = ["Recipe", "UserError", "__version__", "compress", "load", "read_recipe"]

# torch and transformers take seconds to import; a name pays for itself when it is first used.
_LAZY = {
    "Recipe": ("tclip.recipe.schema", "Recipe"),
    "compress": ("tclip.pipeline", "compress"),
    "load": ("tclip.packed.load", "load"),
    "read_recipe": ("tclip.recipe.read", "read_recipe"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tclip' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


_hook.install()  # transformers can load packed folders from now on
