"""The packed format: a Hugging Face model folder whose ternary weights are base-3 bytes.

    config.json            the model's own, with quantization_config (quant_method "tclip")
    model.safetensors      for a ternary weight NAME: NAME_codes (uint8, flat base-3 bytes, see
                           ternary/codec.py) and NAME_scale ([R, G]); all else under its own name
    tokenizer and preprocessor files

The metadata of model.safetensors holds, as JSON under "tclip", all that a reader without config and torch
needs: the version, and for each ternary weight its shape; and for every tensor a CRC-32 of its bytes.

Version 2 has weights of 4 or 8 bits too, stored likewise as bytes of base 16 or 256; the header says the bits
of each. A file without any is of version 1.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tclip.errors import FormatError

FORMAT_VERSION = 2  # the newest
BITS = (4, 8)
METADATA_KEY = "tclip"
MODEL_FILE = "model.safetensors"
CODES = "_codes"
SCALE = "_scale"


@dataclass(frozen=True)
class Header:
    """What the metadata of a packed file says.

    Attributes:
        version: of the format.
        shapes: of each weight that is stored as codes and scales, by parameter name.
        checksums: CRC-32 of each tensor's bytes, by tensor name.
        bits: 4 or 8, of each of these weights that is not ternary.
    """

    version: int
    shapes: dict[str, list[int]]
    checksums: dict[str, int]
    bits: dict[str, int] = field(default_factory=dict)

    def base(self, name: str) -> int:
        """Return the base of a weight's digits: 3 of a ternary one, 16 or 256 of one of 4 or 8 bits."""
        return 2 ** self.bits[name] if name in self.bits else 3

    @property
    def stored(self) -> set[str]:
        """The names of all tensors that are codes or scales."""
        return {name + ending for name in self.shapes for ending in (CODES, SCALE)}

    def to_json(self) -> str:
        """Return the text for the metadata."""
        document = asdict(self)
        if not self.bits:
            del document["bits"]
        return json.dumps(document, separators=(",", ":"))


def version_for(bits: Mapping[str, int]) -> int:
    """Return the version of a file, the oldest that can say which of its weights have 4 or 8 bits."""
    return 2 if bits else 1


def parse_header(metadata: dict[str, str] | None, where: str) -> Header:
    """Read the header of a packed file.

    Args:
        metadata: of the safetensors file.
        where: the file, for messages.

    Raises:
        FormatError: the file is not packed by tclip, is of a newer version, or its header is damaged.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise FormatError(
            f"{where} was not packed by tclip: pack it with `tclip pack`, or give it as a model."
        )
    try:
        document = json.loads(text)
        version = int(document["version"])
        check_version(version, where)
        shapes = {str(name): [int(n) for n in shape] for name, shape in document["shapes"].items()}
        checksums = {str(name): int(value) for name, value in document["checksums"].items()}
        bits = {str(name): int(value) for name, value in document.get("bits", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"The header of {where} is damaged ({error!r}): fetch or pack it again.") from error
    if version < 1 or any(n < 0 for shape in shapes.values() for n in shape):
        raise FormatError(f"The header of {where} is damaged (a negative number): fetch or pack it again.")
    if version < version_for(bits) or bits.keys() - shapes.keys() or set(bits.values()) - set(BITS):
        raise FormatError(f"The header of {where} is damaged (bits of a weight): fetch or pack it again.")
    return Header(version, shapes, checksums, bits)


def check_version(version: int, where: str) -> None:
    """Refuse what a newer tclip wrote.

    Raises:
        FormatError: the version is newer than the newest known here.
    """
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{where} has format version {version}, newer than {FORMAT_VERSION}, the newest known here: "
            "update tclip."
        )
