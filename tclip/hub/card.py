"""The model card: front matter that the Hub reads, and a page that people read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tclip.evaluate.record import Record
from tclip.hub.base import Base
from tclip.hub.files import RECIPE, PublishedFile, read_table, shown_records
from tclip.hub.license import License
from tclip.hub.sources import dataset_ids, hub_id_of
from tclip.hub.state import State
from tclip.hub.usage import usage
from tclip.packed.size import Size, measure
from tclip.run import Run

PAPER = "https://arxiv.org/abs/2510.21879"
PIPELINE = "zero-shot-image-classification"
# metric of a record: what the front matter calls it, and its name for people
METRICS = {
    "acc1": ("accuracy", "top-1"),
    "acc5": ("accuracy", "top-5"),
    "mean_per_class_recall": ("recall", "mean recall of the classes"),
    "mean_average_precision": ("mean average precision", "mean average precision of the classes"),
    "expected_calibration_error": ("expected calibration error", "expected calibration error"),
    **{
        f"{found}_retrieval_recall@{k}": ("recall", f"{name} R@{k}")
        for found, name in (("image", "text to image"), ("text", "image to text"))
        for k in (1, 5, 10)
    },
}
TASKS = {"zeroshot_classification": PIPELINE, "zeroshot_retrieval": "zero-shot-retrieval"}
WEIGHTS = (".safetensors", ".onnx", ".gguf")


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        run: the run folder.
        repo_id: where it goes.
        revision: the branch there; None for the main one.
        state: what of the run is published.
        files: all that is published beside the card.
        base: the original.
        license: to publish under.
    """

    run: Run
    repo_id: str
    revision: str | None
    state: State
    files: Sequence[PublishedFile]
    base: Base
    license: License

    @property
    def name(self) -> str:
        """Return the repository's name without its owner."""
        return self.repo_id.rpartition("/")[2]


def write_card(subject: Subject, model_type: str) -> str:
    """Return the README.md of a repository.

    Args:
        subject: what it is about.
        model_type: the family, as config.json names it.

    Raises:
        FormatError: the packed model is damaged.
    """
    size = measure(subject.run.packed)
    sections = [
        f"# {subject.name}\n\n{_summary(subject, size)}",
        f"## Size\n\n{_sizes(subject, size)}",
        f"## Before and after\n\n{_results(subject)}",
        f"## How to use it\n\n{_usage(subject, model_type)}",
        f"## How it was made\n\n{_recipe(subject)}",
        f"## License\n\n{_license(subject)}",
    ]
    return f"---\n{front_matter(subject, model_type)}\n---\n\n" + "\n\n".join(sections) + "\n"


def front_matter(subject: Subject, model_type: str) -> str:
    """Return the YAML between a card's two rules, which it is without."""
    from huggingface_hub import ModelCardData

    license, results = subject.license, list(_eval_results(subject))
    data = ModelCardData(
        license=license.id,
        license_name=license.name,
        license_link=license.link,
        language=subject.base.facts.get("language"),
        # stock transformers reads the files once tclip is imported, and the Hub's own snippet does not say so
        library_name="tclip",
        pipeline_tag=PIPELINE,
        base_model=subject.base.hub_id,
        base_model_relation="quantized" if subject.base.hub_id else None,
        tags=["tclip", "ternary", "1.58-bit", "clip", model_type.replace("_", "-"), *subject.state.forms],
        datasets=dataset_ids(subject.run.recipe) or None,
        model_name=subject.name if results else None,
        eval_results=results or None,
    )
    order = ["license", "license_name", "license_link", "language", "library_name", "pipeline_tag"]
    return str(data.to_yaml(original_order=[*order, "base_model", "base_model_relation", "tags", "datasets"]))


def _eval_results(subject: Subject) -> Iterator[Any]:
    """Yield every metric of the packed model, in [0, 1]; the other forms are in the table and the records."""
    from huggingface_hub import EvalResult

    for record in _measured(subject, "packed"):
        for metric, value in record.metrics.items():
            kind, name = METRICS.get(metric, (metric, metric))
            yield EvalResult(
                task_type=TASKS[record.task],
                task_name=record.task.replace("_", " "),
                dataset_type=hub_id_of(record.dataset, subject.run.recipe.eval.data) or record.dataset,
                dataset_name=record.dataset,
                dataset_split=subject.run.recipe.eval.split,
                dataset_args={"num_samples": record.num_samples},
                metric_type=kind,
                metric_name=name,
                metric_value=round(value, 4),
            )


def _measured(subject: Subject, form: str) -> list[Record]:
    return shown_records(subject.run).get(form, []) if subject.state.measured else []


def _summary(subject: Subject, size: Size) -> str:
    base = subject.base
    original = f"[{base.name}](https://huggingface.co/{base.hub_id})" if base.hub_id else base.name
    return (
        f"{original} as a **ternary CLIP**: {size.ternary_share:.1%} of its {size.num_weights / 1e6:.1f} "
        "million weights are a scale times {-1, 0, +1}, stored at "
        f"{size.bits:.2f} bits each, scales included{_kept(size)}. Made with tclip {version('tclip')}, which "
        f"implements [TernaryCLIP]({PAPER})."
    )


def _kept(size: Size) -> str:
    """The weights that keep more bits than ternary ones, as a clause, or nothing."""
    shares = [
        f"{each.num_weights / size.num_weights:.1%} have {bits} bits" for bits, each in size.ints.items()
    ]
    return f"; {' and '.join(shares)}" if shares else ""


def _sizes(subject: Subject, size: Size) -> str:
    weights = [file for file in subject.files if file.path.endswith(WEIGHTS)]
    rows = [[f"`{file.path}`", f"{file.num_bytes:,}"] for file in weights]
    rows.append(["the same weights as float32", f"{size.float32_bytes:,}"])
    times = size.float32_bytes / size.model_bytes
    return (
        f"{markdown_table(['file', 'bytes'], rows)}\n\n`model.safetensors` is {times:.1f} times smaller than "
        f"float32: {8 * size.model_bytes / size.num_weights:.2f} bits a weight, of the whole file."
    )


def _results(subject: Subject) -> str:
    if not subject.state.measured:
        return "Not measured: no evaluation was run on this model."
    table = read_table(subject.run)
    rows = [
        ["" if cell is None else str(cell) for cell in row]
        for row in table["rows"]
        if any(cell is not None for cell in row[1:])
    ]
    packed = _measured(subject, "packed")
    samples = ", ".join(f"{record.dataset} {record.num_samples:,}" for record in packed)
    told = f"Images measured on: {samples}. " if samples else ""
    return (
        f"{markdown_table(table['columns'], rows)}\n\n{told}Zero-shot, split "
        f"`{subject.run.recipe.eval.split}`; every record is in `results/`."
    )


def _usage(subject: Subject, model_type: str) -> str:
    onnx = subject.run.recipe.export.onnx
    pixels = onnx.pixels if onnx else "float"
    return usage(subject.repo_id, subject.revision, model_type, subject.state.forms, pixels)


def _recipe(subject: Subject) -> str:
    (recipe,) = (file for file in subject.files if file.path == RECIPE)
    return (
        f"By the recipe `{subject.run.recipe.name}`, here with every value that was in force "
        f"([{RECIPE}]({RECIPE})):\n\n```yaml\n{recipe.text().rstrip()}\n```"
    )


def _license(subject: Subject) -> str:
    license, base = subject.license, subject.base
    name = license.name or license.id
    told = f"[{name}]({license.link})" if license.link else f"`{name}`"
    known = base.facts.get("license")
    if known and str(known).lower() != license.id and license.id != "other":
        return f"{told}. The original, {base.name}, is under `{known}`."
    return f"{told}, as the original, {base.name}."


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; a bar within a cell does not end it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)
