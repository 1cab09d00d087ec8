"""Which files hold a model's weights: one safetensors file, or shards with an index. Never pickle."""

import json
from collections.abc import Iterable
from pathlib import Path

from tclip.errors import ModelError
from tclip.models.layout import INDEX, Layout, layout_of


def has_safetensors(names: Iterable[str], layout: Layout) -> bool:
    """Whether a listing of files holds safetensors weights, whole or in shards."""
    return not set(layout.whole_weights).isdisjoint(names)


def weight_patterns(names: Iterable[str], layout: Layout) -> tuple[str, ...]:
    """Return glob patterns of the weight files to fetch; where the same weights are there twice, once."""
    whole = [name for name in layout.whole_weights if name in set(names)][:1]
    return (INDEX, *layout.shards) if whole == [INDEX] else tuple(whole)


def missing_weights(folder: Path) -> list[str]:
    """Name the weight files that a folder lacks: none when it is whole.

    Raises:
        ModelError: the index of the shards is not what transformers writes.
    """
    names = _weight_files(folder)
    if not names:
        return [layout_of(folder).whole_weights[0]]
    return [name for name in names if not (folder / name).is_file()]


def weight_bytes(folder: Path) -> int:
    """Return the size of a whole model's weight files.

    Raises:
        ModelError: as missing_weights.
    """
    return sum((folder / name).stat().st_size for name in _weight_files(folder))


def single_file(folder: Path) -> Path:
    """Return the file that holds all weights of a whole model that is not in shards."""
    return folder / _weight_files(folder)[0]


def _weight_files(folder: Path) -> list[str]:
    whole = [name for name in layout_of(folder).whole_weights if (folder / name).is_file()]
    return _shards(folder / INDEX) if whole[:1] == [INDEX] else whole[:1]


def _shards(path: Path) -> list[str]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}): fetch the model again.") from error
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise ModelError(
            f"{path} has no weight_map, which says where the weights are: fetch the model again."
        )
    return sorted(set(index["weight_map"].values()))
