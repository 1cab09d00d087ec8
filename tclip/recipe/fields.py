"""What values of a recipe are made of: kinds of text and number with their ranges, the base of sections."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

QuantizerName = Literal["absmean", "clip2", "twn", "mse", "learned"]
TrackerName = Literal[
    "tensorboard", "wandb", "aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "trackio"
]
Bits = Literal[4, 8]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Share = Annotated[float, Field(ge=0, le=1)]


def _of_all_ternary(value: str) -> str:
    if value.endswith("%") and float(value[:-1]) < 100:
        raise ValueError("100% is the size with every weight ternary, the least there is: give more")
    return value


Budget = Annotated[
    str,
    Field(
        pattern=r"^\d+(\.\d+)? ?(kB|MB|GB|%)$",
        description="a size such as 35MB, or 115% (of the size with every weight ternary)",
    ),
    AfterValidator(_of_all_ternary),
]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """What all parts of a recipe share: keyword-only, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
