"""Where a packed model lies, and the JSON files beside its weights."""

import json
from pathlib import Path
from typing import Any

from tclip.errors import ModelError
from tclip.models.fetch import ModelFiles, fetch, fetch_config
from tclip.models.names import resolve_name


def find_packed(spec: str | Path, revision: str | None = None) -> ModelFiles:
    """Find a packed model, fetching it from the Hub if it is not on this machine.

    Args:
        spec: packed folder, run folder (its packed/ is taken), Hub id or alias.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: no such model, or it is not packed.
    """
    folder = Path(spec).expanduser()
    if (folder / "packed" / "config.json").is_file() and not (folder / "config.json").is_file():
        spec = folder / "packed"
    # a folder is not hashed whole, as fetch does: that takes longer than all else
    local = resolve_name(str(spec)).folder is not None
    files = fetch_config(str(spec), revision) if local else fetch(str(spec), revision)
    if not files.is_packed:
        raise ModelError(
            f"{spec} is not packed: give a folder that `tclip pack` wrote, or make one with `tclip compress`."
        )
    return files


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object that belongs to a model.

    Args:
        path: the file.
        what: it is, for the message, such as "tokenizer".

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"There is no {path}: put the model's {what} files into the folder.") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again.") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} does not hold a JSON object: fetch the model again.")
    return document
