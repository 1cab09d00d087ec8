"""What config.json says of a packed model, as transformers wants to hold it."""

from typing import Any

from transformers.utils.quantization_config import QuantizationConfigMixin

from tclip.errors import FormatError
from tclip.packed.format import check_version
from tclip.packed.write import DTYPES

QUANT_METHOD = "tclip"
ACTIVATIONS = ("float", "int8")


class TclipConfig(QuantizationConfigMixin):
    """The `quantization_config` of a packed folder. It describes what is there and sets nothing.

    Attributes:
        quant_method: "tclip".
        format_version: of the packed format.
        codes: "base3", of the ternary weights.
        scale: the granularities of the weights, such as ["row"].
        dtype: "float16" or "float32", what floats and scales have in the file.
        activations: "int8" if ternary layers round their inputs, else "float".
        base_model: where the model that it was made from came from.

    Raises:
        FormatError: the format is newer, or one of these is not what `tclip pack` writes.
    """

    def __init__(
        self,
        format_version: int = 1,
        codes: str = "base3",
        scale: list[str] | None = None,
        dtype: str = "float16",
        activations: str = "float",
        base_model: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        check_version(format_version, "The quantization_config in config.json")
        if codes != "base3" or dtype not in DTYPES or activations not in ACTIVATIONS:
            raise FormatError(
                f"The quantization_config in config.json is damaged (codes {codes!r}, dtype {dtype!r}, "
                f"activations {activations!r}): fetch or pack the model again."
            )
        self.quant_method = others.pop("quant_method", QUANT_METHOD)
        self.format_version = format_version
        self.codes = codes
        self.scale = scale
        self.dtype = dtype
        self.activations = activations
        self.base_model = base_model
        self.__dict__.update(others)  # integer_bits, and what a later tclip says beside, kept for saving

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, as a dict would: transformers takes a config that it was given for one."""
        return getattr(self, name, default)
