"""What calibration reports: each layer's error, and what became of the embeddings, beside plain rounding."""

from dataclasses import asdict, dataclass
from typing import Any

from tclip.progress import Table


@dataclass(frozen=True)
class LayerReport:
    """One weight with codes and scales.

    Attributes:
        name: the parameter.
        tower: "image" or "text".
        role: what it does.
        how: "output error", "rounded", or why it could only be rounded.
        error: relative output error E|y - y'|^2 / E|y|^2 on the calibration pairs, y the wanted output;
            None where no output was looked at.
        rounded_error: the same error of the original weight rounded plainly, on the same inputs.
        zeros: share of zero codes.
        form: "ternary", "4 bits" or "8 bits".
    """

    name: str
    tower: str
    role: str
    how: str
    error: float | None
    rounded_error: float | None
    zeros: float
    form: str = "ternary"


@dataclass(frozen=True)
class Cosines:
    """Mean cosine to the original's embeddings, on pairs that calibration did not see."""

    image: float
    text: float


@dataclass(frozen=True)
class CalibrationReport:
    """All layers, and the embeddings of the calibrated and of the plainly rounded model."""

    layers: tuple[LayerReport, ...]
    calibrated: Cosines
    rounded: Cosines

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)

    def tables(self) -> list[Table]:
        """Return the layers' errors by tower and role, where any was looked at, and the cosines."""
        groups: dict[tuple[str, str, str], list[LayerReport]] = {}
        for layer in self.layers:
            groups.setdefault((layer.tower, layer.role, layer.form), []).append(layer)
        rows = [
            [*group, len(layers), _mean(layers, "rounded_error"), _mean(layers, "error")]
            for group, layers in groups.items()
        ]
        columns = ["tower", "role", "form", "weights", "rounded", "calibrated"]
        cosines = [
            ["image", self.rounded.image, self.calibrated.image],
            ["text", self.rounded.text, self.calibrated.text],
        ]
        title = "Cosine to the original's embeddings (unseen pairs)"
        tables = [Table(title, ["tower", "rounded", "calibrated"], cosines)]
        if any(layer.error is not None for layer in self.layers):
            tables.insert(0, Table("Relative output error of the layers (mean)", columns, rows))
        return tables


def _mean(layers: list[LayerReport], what: str) -> float | None:
    values = [value for layer in layers if (value := getattr(layer, what)) is not None]
    return sum(values) / len(values) if values else None
