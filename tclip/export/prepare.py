"""A copy of a model that can be traced: marks for coded weights, names for layers, plain attention."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from tclip.export.layers import Attention, Convolution, Embedding, Linear, Patches, mark
from tclip.export.naflex import resize_positions
from tclip.models.clip import Clip
from tclip.ternary.latent import owner
from tclip.ternary.tensor import CodedTensor


def traceable_copy(clip: Clip) -> Any:
    """Copy a clip's model and make the copy ready for torch.onnx.export; the clip is left untouched.

    Attention is written out ("eager"): the other form adds shape arithmetic that ONNX Runtime keeps.
    """
    model = copy.deepcopy(clip.model).cpu().eval()
    model.set_attn_implementation("eager")
    put_export_layers(model, clip.coded)
    if clip.model.config.model_type == "siglip2":
        model.vision_model.embeddings.resize_positional_embeddings = resize_positions
    for name in layer_names(model):
        model.get_submodule(name).register_forward_hook(_name_output(name))
    return model


def put_export_layers(model: nn.Module, coded: Mapping[str, CodedTensor]) -> None:
    """Replace every module of a model that owns coded weights by its export layer, in place.

    Args:
        model: a stock model; its coded weights are taken from `coded`, not from the model.
        coded: codes and scales by parameter name.
    """
    weights_of: dict[str, dict[str, CodedTensor]] = {}
    for name, tensor in coded.items():
        module_name = _layer_of(model, name)
        weights_of.setdefault(module_name, {})[name.removeprefix(f"{module_name}.")] = tensor
    for module_name, weights in weights_of.items():
        parent, attribute = owner(model, module_name)
        setattr(parent, attribute, _export_layer(getattr(parent, attribute), weights))


def layer_names(model: nn.Module) -> list[str]:
    """List the modules at which two forms of a model are compared: embeddings and encoder layers."""
    return [
        name
        for name, _ in model.named_modules()
        if (last := name.rpartition(".")[2]) == "embeddings" or last.isdigit()
    ]


def _layer_of(model: nn.Module, parameter_name: str) -> str:
    """Return the name of the module to replace: for an attention's out_proj, the attention."""
    module_name = parameter_name.rpartition(".")[0]
    parent = module_name.rpartition(".")[0]
    return parent if isinstance(model.get_submodule(parent), nn.MultiheadAttention) else module_name


def _export_layer(module: Any, coded: dict[str, CodedTensor]) -> nn.Module:
    if isinstance(module, nn.MultiheadAttention):
        return Attention(module, coded)
    weight = coded["weight"]
    if isinstance(module, nn.Embedding):
        return Embedding(weight)
    if not isinstance(module, nn.Conv2d):
        return Linear(weight, module.bias)
    if module.kernel_size == module.stride and module.padding in ("valid", (0, 0)):
        return Patches(module, weight)
    return Convolution(module, weight)


def _name_output(name: str) -> Callable[..., Any]:
    """Return a hook that makes the graph's value for a module's output bear the module's name."""

    def named(x: Tensor) -> Tensor:
        return mark("Name", (x,), x.shape, name=name)

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        return named(output) if isinstance(output, Tensor) else (named(output[0]), *output[1:])

    return hook
