"""Making room in a model for the weights of a packed file, once it is sure that they fit."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tclip.errors import FormatError, listed
from tclip.packed.format import SCALE, Header
from tclip.plugin.layers import PackedLayer, make_packed, packed_class
from tclip.plugin.names import names_in_model
from tclip.ternary.latent import owner


def packed_layers(model: nn.Module) -> Iterator[tuple[str, PackedLayer]]:
    """Yield (name of the weight, layer) for every packed layer of a model."""
    for name, module in model.named_modules():
        if isinstance(module, PackedLayer):
            yield f"{name}.{module.parameter}".lstrip("."), module


def replace_layers(model: Any, header: Header, tensors: dict[str, Tensor], where: str) -> None:
    """Turn every layer whose weight a file has as codes into a packed one, codes and scales not set.

    Args:
        model: as transformers has made it for loading, on "meta".
        header: of the file.
        tensors: of the file.
        where: the file, for messages.

    Raises:
        FormatError: a weight has another shape or belongs to a layer that cannot be packed; none is of this
            class; or it is the class that the file was saved from, and weights are missing or left over.
    """
    stored = header.stored
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items() if name not in stored}
    shapes |= header.shapes
    names = names_in_model(model, shapes)
    if not names:
        raise FormatError(f"{where} holds no weight of a {type(model).__name__}: load the model whole.")
    layers = {name: owner(model, names[name]) for name in header.shapes if name in names}
    kinds = {name: kind for name, layer in layers.items() if (kind := packed_class(*layer))}
    offenders = [
        f"{name} is of a {type(layers[name][0]).__name__}, which cannot keep it packed"
        for name in sorted(layers.keys() - kinds.keys())
    ]
    offenders += _misfits(model, shapes, names)
    if offenders:
        raise FormatError(f"The weights in {where} do not fit its config.json:{listed(offenders)}")
    for name, kind in kinds.items():
        scale_RG = tensors[name + SCALE]
        make_packed(layers[name][0], kind, scale_RG.shape, scale_RG.dtype, header.base(name))
    for _, layer in packed_layers(model):
        layer.stand_in = _never_initialised(layer)


def _misfits(model: Any, shapes: dict[str, list[int]], names: dict[str, str]) -> Iterator[str]:
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    if type(model).__name__ in (getattr(model.config, "architectures", None) or ()):
        yield from (f"{name} is missing" for name in sorted(expected.keys() - set(names.values())))
        yield from (f"{name} is not of this model" for name in sorted(shapes.keys() - names.keys()))
    for name, new in sorted(names.items()):
        if shapes[name] != expected[new]:
            yield f"{name} is {shapes[name]} instead of {expected[new]}"


def _never_initialised(layer: PackedLayer) -> Tensor:
    weight = torch.empty(layer.shape, dtype=layer.dtype, device="meta")
    weight._is_hf_initialized = True  # type: ignore[attr-defined]  # the mark that transformers looks for
    return weight
