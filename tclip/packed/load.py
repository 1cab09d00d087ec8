"""Loading a CLIP that is packed, or any CLIP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from tclip.errors import FormatError, listed
from tclip.models.clip import Clip
from tclip.models.fetch import ModelFiles, fetch, fetch_config
from tclip.models.load import clip_from, dense_model, empty_model
from tclip.models.source import ModelSource
from tclip.packed.read import read_packed
from tclip.packed.replace import restore_folder
from tclip.ternary.activations import quantize_activations


def load(spec: str | Path, revision: str | None = None) -> Clip:
    """Load any CLIP, dense or packed.

    Args:
        spec: Hub id, alias or local folder.
        revision: branch, tag or commit on the Hub.

    Raises:
        ModelError: it cannot be found or read, or is of another architecture.
        FormatError: it is packed and damaged or newer.
    """
    restore_folder(Path(spec).expanduser())
    files = fetch(str(spec), revision)
    return _packed_clip(files) if files.is_packed else clip_from(files, dense_model(files))


def load_packed(folder: Path) -> Clip:
    """Load a packed folder: dense weights scale x code in the model, codes and scales beside it in the clip.

    Raises:
        ModelError: it is no model folder.
        FormatError: it is not packed, damaged or newer.
    """
    return _packed_clip(_files(folder, fetch))


def _packed_clip(files: ModelFiles) -> Clip:
    packed = read_packed(files.folder)
    model = empty_model(files)
    coded = {**packed.ternary, **packed.ints}
    weights = {name: tensor.dense() for name, tensor in coded.items()} | packed.floats
    _check_shapes(dict(model.state_dict()), weights, files.folder)
    with torch.no_grad():
        model.load_state_dict(weights)
    clip = clip_from(files, model)
    clip.ternary, clip.ints = packed.ternary, packed.ints
    clip.base, clip.activations = _base(files), _activations(files)
    if clip.activations == "int8":
        quantize_activations(model, packed.ternary)
    return clip


def base_of(folder: Path) -> ModelSource:
    """Return where the model came from that a packed folder was made of.

    Raises:
        ModelError: it is no model folder.
        FormatError: it is not packed, or its config is damaged.
    """
    return _base(_files(folder, fetch_config))


def _files(folder: Path, read: Callable[[str], ModelFiles]) -> ModelFiles:
    restore_folder(folder)
    files = read(str(folder))
    if not files.is_packed:
        raise FormatError(f"{folder} is not ternary: compress it first.")
    return files


def _base(files: ModelFiles) -> ModelSource:
    with _damage_told(files):
        return ModelSource(**files.config["quantization_config"]["base_model"])


def _activations(files: ModelFiles) -> str:
    with _damage_told(files):
        return {"float": "float", "int8": "int8"}[files.config["quantization_config"]["activations"]]


@contextmanager
def _damage_told(files: ModelFiles) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        raise FormatError(
            f"The quantization_config in {files.folder / 'config.json'} is damaged ({error!r}): "
            "fetch or pack it again."
        ) from error


def _check_shapes(expected: dict[str, Tensor], found: dict[str, Tensor], folder: Path) -> None:
    offenders = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    offenders += [f"{name} is not of this model" for name in sorted(found.keys() - expected.keys())]
    offenders += [
        f"{name} is {list(found[name].shape)} instead of {list(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    if offenders:
        raise FormatError(f"The weights in {folder} do not fit its config.json:{listed(offenders)}")
