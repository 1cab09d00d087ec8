"""Paths of a recipe that can only be local, and whether they exist."""

import glob
import re
from pathlib import Path

from tclip.errors import did_you_mean

_FILE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".csv", ".tsv", ".jsonl", ".txt")
_PATTERN = re.compile(r"[*?\[{]")
WORDS = "words"  # in data.texts: no file, but the model's own words (data/texts.py)
MADE_IMAGES = ("crops", "collages")  # in data.images: no folder, but made of pairs' images (data/made.py)
_HUB_PARTS = 2  # owner/name


def is_local(name: str) -> bool:
    """Whether a name is surely a local path or pattern: neither an address (hf://) nor like owner/name."""
    if "://" in name or name in (WORDS, *MADE_IMAGES):
        return False
    return (
        name.startswith((".", "/", "~"))
        or name.lower().endswith(_FILE_ENDINGS)
        or bool(_PATTERN.search(name))
        or len(Path(name).parts) > _HUB_PARTS
        or Path(name).exists()
    )


def absolute(name: str) -> str:
    """Return a name that leads to the same place from any working folder: local ones become absolute."""
    return str(Path(name).expanduser().absolute()) if is_local(name) else name


def whole_model(name: str) -> str:
    """Return a sentence on a file that stands for a model, which is a folder."""
    if Path(name).suffix in (".pt", ".pth", ".ckpt", ".bin"):
        return (
            f"{name} is a checkpoint, a folder is needed: docs/open_clip.md shows how open_clip writes one, "
            "with open_clip_config.json, open_clip_model.safetensors, tokenizer.json, tokenizer_config.json."
        )
    return f"{name} is a file: give the folder that holds config.json and model.safetensors."


def without_folders(name: str) -> str:
    """Return what of a name may be told to others: of a local path its last part, and of a pattern the folder
    before it; ids and addresses stay as they are.
    """
    scheme, rest = name.split("://", 1) if "://" in name else ("", name)
    if not is_local(rest) or scheme not in ("", "datasets"):  # datasets:// takes a folder too
        return name
    parts = Path(rest).parts
    first = next((index for index, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
    kept = "/".join(part for part in parts[max(first - 1, 0) :] if part != "/")
    return f"{scheme}://{kept}" if scheme else kept


def missing(name: str) -> str | None:
    """Return a sentence when a local path does not exist or a pattern matches nothing, else None.

    Of a brace pattern only the folder is looked at: its reader names each missing shard.
    """
    path = Path(name).expanduser()
    if path.exists():
        return None
    if _PATTERN.search(name):
        return _missing_pattern(path)
    return f"no such file or folder {name}.{_nearest(path)}"


def _missing_pattern(pattern: Path) -> str | None:
    fixed = next(folder for folder in pattern.parents if not _PATTERN.search(str(folder)))
    if not fixed.is_dir():
        return f"no such folder {fixed} for the pattern {pattern}.{_nearest(fixed)}"
    if "{" in str(pattern) or next(glob.iglob(str(pattern), recursive=True), None):  # noqa: PTH207 (absolute patterns)
        return None
    return f"nothing is found by the pattern {pattern}."


def _nearest(path: Path) -> str:
    """Suggest for the first part of a path that does not exist, among what lies beside it."""
    while not path.parent.is_dir():
        path = path.parent
    return did_you_mean(path.name, [entry.name for entry in path.parent.iterdir()])
