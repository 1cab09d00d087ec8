"""Reading a packed file, every claim of it checked before use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tclip.errors import FormatError, listed
from tclip.packed.checksum import checksum
from tclip.packed.format import CODES, MODEL_FILE, SCALE, Header, parse_header
from tclip.packed.replace import restore_folder
from tclip.ternary.codec import check_codes, unpack_codes
from tclip.ternary.tensor import IntTensor, TernaryTensor, check_scale

DTYPES = ("U8", "F16", "F32")


@dataclass(frozen=True)
class PackedTensors:
    """The content of a packed file.

    Attributes:
        ternary: codes and scales by parameter name.
        ints: the same of the weights of 4 or 8 bits.
        floats: everything else by parameter name, float32.
        header: what the file says of itself.
    """

    ternary: dict[str, TernaryTensor]
    ints: dict[str, IntTensor]
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
    header, tensors = read_stored([path])
    coded = {
        name: (
            unpack_codes(tensors.pop(name + CODES), shape, header.base(name)),
            tensors.pop(name + SCALE).float(),
        )
        for name, shape in header.shapes.items()
    }
    return PackedTensors(
        {name: TernaryTensor(*parts) for name, parts in coded.items() if name not in header.bits},
        {name: IntTensor(*coded[name], bits) for name, bits in header.bits.items()},
        {name: tensor.float() for name, tensor in tensors.items()},
        header,
    )


def read_stored(paths: Sequence[Path]) -> tuple[Header, dict[str, Tensor]]:
    """Read one packed model, whole or in shards, as it is stored: codes stay bytes, floats keep their dtype.

    Raises:
        FormatError: a file is foreign, damaged or newer; the message names the tensor.
    """
    where = str(paths[0] if len(paths) == 1 else paths[0].parent)
    headers: list[Header] = []
    dtypes: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                headers.append(parse_header(file.metadata(), str(path)))
                dtypes |= {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
                tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise FormatError(
                f"{path} is damaged or no safetensors file ({error}): fetch or pack it again."
            ) from error
    if any(header != headers[0] for header in headers):
        raise FormatError(f"The files in {where} belong to different models: fetch or pack them again.")
    _check_names(headers[0], dtypes, where)
    _check_tensors(headers[0], tensors, where)
    return headers[0], tensors


def _check_names(header: Header, dtypes: dict[str, str], where: str) -> None:
    expected, names = set(header.checksums), set(dtypes)
    offenders = [f"{name} is missing" for name in sorted((expected | header.stored) - names)]
    offenders += [f"{name} is unknown" for name in sorted(names - expected)]
    offenders += [f"{name} is {dtype}" for name, dtype in sorted(dtypes.items()) if dtype not in DTYPES]
    if offenders:
        raise FormatError(f"{where} is damaged; fetch or pack it again:{listed(offenders)}")


def _check_tensors(header: Header, tensors: dict[str, Tensor], where: str) -> None:
    for name in sorted(tensors):
        if checksum(tensors[name]) != header.checksums[name]:
            raise FormatError(
                f"{where} is damaged: the bytes of {name} have changed; fetch or pack it again."
            )
    for name, shape in header.shapes.items():
        _check_coded(name, shape, header.base(name), (tensors[name + CODES], tensors[name + SCALE]), where)
    codes = {name + CODES for name in header.shapes}
    for name in sorted(tensors.keys() - codes):
        if tensors[name].dtype == torch.uint8 or not torch.isfinite(tensors[name]).all():
            raise FormatError(
                f"{where} is damaged: {name} is not made of finite floats; fetch or pack it again."
            )


def _check_coded(name: str, shape: list[int], base: int, parts: tuple[Tensor, Tensor], where: str) -> None:
    codes, scale_RG = parts
    if codes.dtype != torch.uint8 or codes.ndim != 1 or scale_RG.ndim != 2 or scale_RG.dtype == torch.uint8:
        raise FormatError(
            f"{where} is damaged: {name} is not base-{base} bytes with scales; fetch or pack it again."
        )
    try:
        check_scale(shape, scale_RG)
        check_codes(codes, shape, base)
    except ValueError as error:
        raise FormatError(f"{where} is damaged at {name}: {error}; fetch or pack it again.") from error
