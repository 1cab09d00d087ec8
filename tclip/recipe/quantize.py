"""The recipe's section `quantize`: what becomes ternary, what keeps more bits, and by which rule."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tclip.recipe.fields import Bits, Budget, Names, QuantizerName, Section

Preset = Literal["none", "ffn", "attn", "linear", "all"]


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {pattern: bits for pattern, bits in value.items() if bits is not None}
    return {} if value is None else value


class Part(Section):
    """Which weights of one tower become ternary."""

    preset: Preset = "all"
    include: Names = Field((), description="Glob patterns of weights to add, such as '*.mlp.fc1.weight'.")
    exclude: Names = Field((), description="Glob patterns of weights to keep as they are.")


class Quantize(Section):
    """What becomes ternary, and by which rule."""

    image: Part = Part()
    text: Part = Part()
    bits: Annotated[dict[str, Bits], BeforeValidator(_without_null)] = Field(
        {},
        description="Weights that keep 4 or 8 bits, by glob pattern; of several that match, the last counts; "
        "null takes a pattern, or all, back.",
    )
    budget: Budget | None = Field(
        None,
        description="Most bytes of the packed model.safetensors: weights that suffer most keep 4 or 8 bits.",
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="In place of a budget: most that the weights' costs may add up to, in the fewest bytes.",
    )
    quantizer: QuantizerName = "learned"
    scale: str = Field(
        "row",
        pattern=r"^(tensor|row|group:[1-9][0-9]*)$",
        description="tensor, row, or group:N (N inputs of a row share a scale)",
    )
    activations: Literal["float", "int8"] = "float"

    @model_validator(mode="after")
    def _one_limit(self) -> "Quantize":
        if self.budget is not None and self.max_cost is not None:
            raise ValueError("give either budget or max_cost, and set the other to null")
        return self

    @property
    def is_rated(self) -> bool:
        """Whether it is measured which weights keep 4 or 8 bits."""
        return self.budget is not None or self.max_cost is not None
