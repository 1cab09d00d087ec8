"""The packed format, version 1: a Hugging Face model folder whose ternary weights are base-3 bytes.

    config.json            the model's own, with quantization_config (quant_method "tclip")
    model.safetensors      for a ternary weight NAME: NAME_codes (uint8, flat base-3 bytes, see
                           ternary/codec.py) and NAME_scale ([R, G]); all else under its own name
    tokenizer and preprocessor files

The metadata of model.safetensors holds, as JSON under "tclip", all that a reader without config and torch
needs: the version, and for each ternary weight its shape; and for every tensor a CRC-32 of its bytes.
"""

import json
from dataclasses import asdict, dataclass

from tclip.errors import FormatError

FORMAT_VERSION = 1
METADATA_KEY = "tclip"
MODEL_FILE = "model.safetensors"
CODES = "_codes"
SCALE = "_scale"


@dataclass(frozen=True)
class Header:
    """What the metadata of a packed file says.

    Attributes:
        version: of the format.
        shapes: of each ternary weight, by parameter name.
        checksums: CRC-32 of each tensor's bytes, by tensor name.
    """

    version: int
    shapes: dict[str, list[int]]
    checksums: dict[str, int]

    def to_json(self) -> str:
        """Return the text for the metadata."""
        return json.dumps(asdict(self), separators=(",", ":"))


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
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"The header of {where} is damaged ({error!r}): fetch or pack it again.") from error
    if version < 1 or any(n < 0 for shape in shapes.values() for n in shape):
        raise FormatError(f"The header of {where} is damaged (a negative number): fetch or pack it again.")
    return Header(version, shapes, checksums)


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
