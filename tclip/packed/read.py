"""Reading a packed file, every claim of it checked before use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tclip.errors import FormatError, listed
from tclip.packed.checksum import checksum
from tclip.packed.format import CODES, MODEL_FILE, SCALE, Header, parse_header
from tclip.packed.replace import restore_folder
from tclip.ternary.codec import unpack_base3
from tclip.ternary.tensor import TernaryTensor

DTYPES = ("U8", "F16", "F32")


@dataclass(frozen=True)
class PackedTensors:
    """The content of a packed file.

    Attributes:
        ternary: codes and scales by parameter name.
        floats: everything else by parameter name, float32.
        header: what the file says of itself.
    """

    ternary: dict[str, TernaryTensor]
    floats: dict[str, Tensor]
    header: Header


def read_packed(folder: Path) -> PackedTensors:
    """Read FOLDER/model.safetensors.

    Raises:
        FormatError: the file is missing, foreign, damaged or newer; the message names the tensor.
    """
    restore_folder(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise FormatError(f"{folder} has no {MODEL_FILE}: give a folder that `tclip pack` wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_header(file.metadata(), str(path))
            return _read(file, header, str(path))
    except SafetensorError as error:
        raise FormatError(
            f"{path} is damaged or no safetensors file ({error}): fetch or pack it again."
        ) from error


def _read(file: Any, header: Header, where: str) -> PackedTensors:
    names = set(file.keys())
    of_ternary = {name + ending for name in header.shapes for ending in (CODES, SCALE)}
    expected = set(header.checksums)
    offenders = [f"{name} is missing" for name in sorted((expected | of_ternary) - names)]
    offenders += [f"{name} is unknown" for name in sorted(names - expected)]
    dtypes = {name: file.get_slice(name).get_dtype() for name in sorted(names)}
    offenders += [f"{name} is {dtype}" for name, dtype in dtypes.items() if dtype not in DTYPES]
    if offenders:
        raise FormatError(f"{where} is damaged; fetch or pack it again:{listed(offenders)}")
    tensors = {name: file.get_tensor(name) for name in sorted(names)}
    for name, tensor in tensors.items():
        if checksum(tensor) != header.checksums[name]:
            raise FormatError(
                f"{where} is damaged: the bytes of {name} have changed; fetch or pack it again."
            )
    ternary = {name: _ternary(tensors, name, shape, where) for name, shape in header.shapes.items()}
    floats = {name: _float(tensors[name], name, where) for name in sorted(names - of_ternary)}
    return PackedTensors(ternary, floats, header)


def _ternary(tensors: dict[str, Tensor], name: str, shape: list[int], where: str) -> TernaryTensor:
    codes, scale_RG = tensors[name + CODES], _float(tensors[name + SCALE], name + SCALE, where)
    if codes.dtype != torch.uint8 or codes.ndim != 1 or scale_RG.ndim != 2:
        raise FormatError(
            f"{where} is damaged: {name} is not base-3 bytes with scales; fetch or pack it again."
        )
    try:
        return TernaryTensor(unpack_base3(codes, shape), scale_RG)
    except ValueError as error:
        raise FormatError(f"{where} is damaged at {name}: {error}; fetch or pack it again.") from error


def _float(tensor: Tensor, name: str, where: str) -> Tensor:
    if tensor.dtype == torch.uint8 or not torch.isfinite(tensor).all():
        raise FormatError(f"{where} is damaged: {name} is not made of finite floats; fetch or pack it again.")
    return tensor.float()
