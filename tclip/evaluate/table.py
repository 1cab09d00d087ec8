"""The table that a run ends with: the original beside its ternary forms, accuracy first, then size."""

from collections.abc import Mapping, Sequence

from tclip.evaluate.record import Record
from tclip.evaluate.subject import is_exported
from tclip.models.fetch import local_weight_bytes
from tclip.packed.size import Size, measure
from tclip.progress import Table
from tclip.run import Run

# What tables show of a record, by the name for people; records hold every metric.
SHOWN = {
    "top-1": "acc1",
    "mAP": "mean_average_precision",
    "text to image R@1": "image_retrieval_recall@1",
    "image to text R@1": "text_retrieval_recall@1",
}
FORMS = ("original", "trained", "packed", "onnx")
SIZES = (
    "weights on disk, MB",
    "smaller than the original's file, times",
    "smaller than float32, times",
    "bits a weight, of the whole file",
    "ternary weights, %",
    "zeros among them, %",
    "bits a ternary weight, with its scales",
)
Records = Mapping[str, Mapping[str, Record]]  # by form, then by data set
Cell = str | float | None


def shown(record: Record) -> dict[str, str]:
    """Return the metrics of a record that tables show, by their names for people."""
    return {label: metric for label, metric in SHOWN.items() if metric in record.metrics}


def comparison(run: Run, sets: Sequence[str], records: Records) -> Table:
    """Return a column a form (original, packed, onnx once exported, and all that were measured).

    First a row for each data set and metric, in percent, empty where it was not measured. Then SIZES, from
    bytes of real files. "The original's file" is the one that the model came as, where it lies on this
    machine; it is often float16, so that the factor to float32 is told beside the factor to that file.

    Raises:
        FormatError: the packed model is damaged.
    """
    shown = {"original", "packed", *records} | ({"onnx"} if is_exported(run) else set())
    forms = [form for form in FORMS if form in shown]
    rows = [*_accuracy(sets, records, forms), *_sizes(run, forms)]
    limit = run.recipe.eval.limit
    part = f", no more than {limit:,} images of each data set" if limit and sets else ""
    return Table(f"{run.folder}: the original and its ternary forms{part}", ["what", *forms], rows)


def _accuracy(sets: Sequence[str], records: Records, forms: Sequence[str]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name in sets:
        found = {form: of_form[name] for form, of_form in records.items()}
        labels = shown(next(iter(found.values()))) if found else {}
        for label, metric in labels.items():
            scores = [
                round(100 * found[form].metrics[metric], 1) if form in found else None for form in forms
            ]
            rows.append([f"{name} {label}, %", *scores])
    return rows


def _sizes(run: Run, forms: Sequence[str]) -> list[list[Cell]]:
    model = run.recipe.model
    original = local_weight_bytes(str(model.id), model.revision)
    packed = measure(run.packed)
    columns = [_original_column(original, packed)]
    for form in forms[1:]:
        columns.append(_ternary_column(run, form, original, packed))
    return [[label, *values] for label, *values in zip(SIZES, *columns, strict=True)]


def _original_column(num_bytes: int | None, packed: Size) -> list[Cell]:
    if num_bytes is None:
        return [None, None, None, None, 0.0, None, None]
    return [*_file_cells(num_bytes, num_bytes, packed), 0.0, None, None]


def _ternary_column(run: Run, form: str, original: int | None, packed: Size) -> list[Cell]:
    if form == "onnx":
        # the joint file, where there is one, holds the two encoders once more
        files = list(run.onnx.glob("*_encoder.onnx"))
        size, num_bytes, bits = packed, sum(path.stat().st_size for path in files), None
    else:
        size = packed if form == "packed" else measure(run.ternary)
        num_bytes, bits = size.model_bytes, round(size.bits, 3)
    shares: list[Cell] = [round(100 * size.ternary_share, 1), round(100 * size.zeros, 1), bits]
    return [*_file_cells(num_bytes, original, size), *shares]


def _file_cells(num_bytes: int, original: int | None, size: Size) -> list[Cell]:
    return [
        round(num_bytes / 1e6, 2),
        None if original is None else round(original / num_bytes, 1),
        round(size.float32_bytes / num_bytes, 1),
        round(8 * num_bytes / size.num_weights, 2),
    ]
