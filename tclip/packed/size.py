"""How large a packed model is: real bytes of real files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from tclip.packed.format import CODES, MODEL_FILE, SCALE
from tclip.packed.read import PackedTensors, read_packed


@dataclass(frozen=True)
class Stored:
    """The weights of one kind in a file: how many, and their bytes, scales included."""

    num_weights: int
    num_bytes: int


@dataclass(frozen=True)
class Size:
    """The size of a packed folder.

    Attributes:
        model_bytes: of model.safetensors.
        folder_bytes: of all files.
        num_weights: numbers that the model holds.
        num_ternary: of them ternary.
        code_bytes: their codes in the file.
        scale_bytes: their scales in the file.
        ints: those that keep 4 or 8 bits, by their bits.
        float_bytes: everything else, in the file.
        num_zeros: ternary codes that are zero.
    """

    model_bytes: int
    folder_bytes: int
    num_weights: int
    num_ternary: int
    code_bytes: int
    scale_bytes: int
    ints: dict[int, Stored]
    float_bytes: int
    num_zeros: int

    @property
    def float32_bytes(self) -> int:
        """What the same weights take as float32, 4 bytes each."""
        return 4 * self.num_weights

    @property
    def ternary_share(self) -> float:
        """Share of the weights that are ternary, in [0, 1]."""
        return self.num_ternary / self.num_weights

    @property
    def num_floats(self) -> int:
        """How many weights are neither ternary nor of 4 or 8 bits."""
        return self.num_weights - self.num_ternary - sum(each.num_weights for each in self.ints.values())

    @property
    def zeros(self) -> float:
        """Share of the ternary codes that are zero, in [0, 1]."""
        return self.num_zeros / self.num_ternary

    @property
    def bits(self) -> float:
        """Bits a ternary weight, scales included."""
        return 8 * (self.code_bytes + self.scale_bytes) / self.num_ternary


def measure(folder: Path) -> Size:
    """Measure a packed folder.

    Raises:
        FormatError: it is not packed, or damaged.
    """
    packed, path = read_packed(folder), folder / MODEL_FILE
    num_ternary = sum(tensor.codes.numel() for tensor in packed.ternary.values())
    ints = {bits: _ints(packed, path, bits) for bits in sorted(set(packed.header.bits.values()))}
    num_others = sum(each.num_weights for each in ints.values())
    return Size(
        model_bytes=path.stat().st_size,
        folder_bytes=sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()),
        num_weights=num_ternary + num_others + sum(tensor.numel() for tensor in packed.floats.values()),
        num_ternary=num_ternary,
        code_bytes=_stored_bytes(path, (name + CODES for name in packed.ternary)),
        scale_bytes=_stored_bytes(path, (name + SCALE for name in packed.ternary)),
        ints=ints,
        float_bytes=_stored_bytes(path, packed.floats),
        num_zeros=sum(int((tensor.codes == 0).sum()) for tensor in packed.ternary.values()),
    )


def _ints(packed: PackedTensors, path: Path, bits: int) -> Stored:
    tensors = {name: tensor for name, tensor in packed.ints.items() if tensor.bits == bits}
    names = (name + ending for name in tensors for ending in (CODES, SCALE))
    return Stored(sum(tensor.codes.numel() for tensor in tensors.values()), _stored_bytes(path, names))


def _stored_bytes(path: Path, names: Iterable[str]) -> int:
    with safe_open(path, framework="pt") as file:
        return sum(file.get_tensor(name).nbytes for name in names)
