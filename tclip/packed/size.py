"""How large a packed model is: real bytes of real files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tclip.packed.format import CODES, MODEL_FILE, SCALE
from tclip.packed.read import read_packed

MB = 1e6


@dataclass(frozen=True)
class Size:
    """The size of a packed folder.

    Attributes:
        model_bytes: of model.safetensors.
        folder_bytes: of all files.
        num_weights: numbers that the model holds.
        num_ternary: of them ternary.
        ternary_bytes: codes and scales in the file.
        num_zeros: ternary codes that are zero.
    """

    model_bytes: int
    folder_bytes: int
    num_weights: int
    num_ternary: int
    ternary_bytes: int
    num_zeros: int

    @property
    def float32_bytes(self) -> int:
        """What the same weights take as float32, 4 bytes each."""
        return 4 * self.num_weights

    @property
    def bits(self) -> float:
        """Bits a ternary weight, scales included."""
        return 8 * self.ternary_bytes / self.num_ternary

    def rows(self) -> list[list[Any]]:
        """Return (what, value) rows."""
        return [[what, ternary] for what, _, ternary in self.comparison()]

    def comparison(self) -> list[list[Any]]:
        """Return (what, original in float32, ternary) rows."""
        ratio = self.float32_bytes / self.model_bytes
        return [
            ["weights file, MB", round(self.float32_bytes / MB, 2), round(self.model_bytes / MB, 2)],
            ["smaller by", "", f"{ratio:.1f}x"],
            ["whole folder, MB", "", round(self.folder_bytes / MB, 2)],
            ["ternary weights", "0 %", f"{100 * self.num_ternary / self.num_weights:.1f} %"],
            ["bits a ternary weight", 32, round(self.bits, 3)],
            ["zeros among them", "", f"{100 * self.num_zeros / self.num_ternary:.1f} %"],
        ]


def measure(folder: Path) -> Size:
    """Measure a packed folder.

    Raises:
        FormatError: it is not packed, or damaged.
    """
    packed = read_packed(folder)
    stored = {name + ending for name in packed.ternary for ending in (CODES, SCALE)}
    num_ternary = sum(tensor.codes.numel() for tensor in packed.ternary.values())
    return Size(
        model_bytes=(folder / MODEL_FILE).stat().st_size,
        folder_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        num_weights=num_ternary + sum(tensor.numel() for tensor in packed.floats.values()),
        num_ternary=num_ternary,
        ternary_bytes=_stored_bytes(folder / MODEL_FILE, stored),
        num_zeros=sum(int((tensor.codes == 0).sum()) for tensor in packed.ternary.values()),
    )


def _stored_bytes(path: Path, names: Iterable[str]) -> int:
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in names]
    return sum(tensor.nbytes for tensor in tensors)
