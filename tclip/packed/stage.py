"""The stage `pack`: from the full-precision ternary model to the one to ship."""

from pathlib import Path
from typing import Any

from tclip.packed.load import load_packed
from tclip.packed.size import Size, measure
from tclip.packed.write import write_packed
from tclip.progress import Progress, Table
from tclip.run import Run


def pack(run: Run, progress: Progress) -> None:
    """Write RUN/packed from RUN/trained, or from RUN/calibrated where the recipe trains nothing."""
    progress.begin("pack")
    clip = load_packed(run.ternary)
    run.begin("pack")
    write_packed(clip, run.packed, run.recipe.pack.dtype)
    progress.table(size_table(run.packed, measure(run.packed)))


def size_table(folder: Path, size: Size) -> Table:
    """Return where the bytes of a packed file are; the table at the end of a run compares the whole."""
    in_ints = sum(stored.num_bytes for stored in size.ints.values())
    rest = size.model_bytes - size.code_bytes - size.scale_bytes - in_ints - size.float_bytes
    rows: list[list[Any]] = [
        [
            "ternary weights, codes",
            size.num_ternary,
            size.code_bytes,
            _bits(size.code_bytes, size.num_ternary),
        ],
        ["ternary weights, scales", None, size.scale_bytes, _bits(size.scale_bytes, size.num_ternary)],
        *(
            [
                f"weights of {bits} bits, scales included",
                stored.num_weights,
                stored.num_bytes,
                _bits(stored.num_bytes, stored.num_weights),
            ]
            for bits, stored in size.ints.items()
        ),
        ["other weights", size.num_floats, size.float_bytes, _bits(size.float_bytes, size.num_floats)],
        ["names, shapes, checksums", None, rest, None],
        ["the file", size.num_weights, size.model_bytes, _bits(size.model_bytes, size.num_weights)],
    ]
    return Table(
        f"Bytes of {folder / 'model.safetensors'}", ["what", "weights", "bytes", "bits a weight"], rows
    )


def _bits(num_bytes: int, num_weights: int) -> float | None:
    return round(8 * num_bytes / num_weights, 3) if num_weights else None
