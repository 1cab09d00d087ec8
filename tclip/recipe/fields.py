"""What values of a recipe are made of: kinds of text and number with their ranges, the base of sections."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

QuantizerName = Literal["absmean", "clip2", "twn", "mse", "learned"]
TrackerName = Literal[
    "tensorboard", "wandb", "aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "trackio"
]
Bits = Literal[4, 8]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Share = Annotated[float, Field(ge=0, le=1)]
Budget = Annotated[
    str,
    Field(
        pattern=r"^\d+(\.\d+)? ?(kB|MB|GB|%)$",
        description="a size such as 35MB, or 115% (of the size with every weight ternary)",
    ),
]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """What all parts of a recipe share: keyword-only, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
