"""What `save_pretrained` writes of a packed model: the packed format again."""

import torch
from torch import Tensor, nn

from tclip.errors import FormatError, listed
from tclip.packed.checksum import checksum
from tclip.packed.format import BITS, CODES, METADATA_KEY, SCALE, Header, version_for
from tclip.packed.write import DTYPES
from tclip.plugin.replace import packed_layers


def packed_state(model: nn.Module, dtype: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a packed file.

    Codes and scales are those that were read, bit for bit. So are floats, unless the model was cast to a
    dtype that cannot hold them or they were changed since.

    Args:
        model: with packed layers.
        dtype: "float16" or "float32", of the floats in the file.

    Raises:
        FormatError: the dtype cannot hold a float, or a part of the model is offloaded. All are named.
    """
    layers = dict(packed_layers(model))
    stored = {name + ending for name in layers for ending in (CODES, SCALE)}
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    absent = [name for name, tensor in state.items() if tensor.is_meta]
    if absent:
        raise FormatError(f"Parts of the model are offloaded: load it without to save it:{listed(absent)}")
    tensors = {
        name: (tensor if name in stored else tensor.to(DTYPES[dtype])).cpu().contiguous()
        for name, tensor in state.items()
    }
    lost = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if lost:
        raise FormatError(f"{dtype} cannot hold the values of these tensors (infinite or NaN):{listed(lost)}")
    bits = {name: each for name, layer in layers.items() for each in BITS if layer.base == 2**each}
    header = Header(
        version_for(bits),
        {name: list(layer.shape) for name, layer in layers.items()},
        {name: checksum(tensor) for name, tensor in tensors.items()},
        bits,
    )
    return tensors, {METADATA_KEY: header.to_json()}
