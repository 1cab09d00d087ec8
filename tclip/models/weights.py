"""Which files hold a model's weights: one safetensors file, or shards with an index. Never pickle."""

import json
from collections.abc import Iterable
from pathlib import Path

from tclip.errors import ModelError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
WEIGHT_PATTERNS = (SINGLE, "model-*-of-*.safetensors", INDEX)


def has_safetensors(names: Iterable[str]) -> bool:
    """Whether a listing of files holds safetensors weights, whole or in shards."""
    return not {SINGLE, INDEX}.isdisjoint(names)


def missing_weights(folder: Path) -> list[str]:
    """Name the weight files that a folder lacks: none when it is whole.

    Raises:
        ModelError: the index of the shards is not what transformers writes.
    """
    if (folder / SINGLE).is_file():
        return []
    if not (folder / INDEX).is_file():
        return [SINGLE]
    return [shard for shard in _shards(folder / INDEX) if not (folder / shard).is_file()]


def weight_bytes(folder: Path) -> int:
    """Return the size of a whole model's weight files.

    Raises:
        ModelError: as missing_weights.
    """
    names = [SINGLE] if (folder / SINGLE).is_file() else _shards(folder / INDEX)
    return sum((folder / name).stat().st_size for name in names)


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
