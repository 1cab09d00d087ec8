"""The tables of `tclip inspect`: weights by tower and role, and real bytes of real files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tclip.models.fetch import ModelFiles, fetch, fetch_config
from tclip.models.load import empty_model
from tclip.models.sites import Decision, Plan, SummaryRow, find_sites, plan_ternarization
from tclip.progress import Table
from tclip.recipe.read import read_recipe
from tclip.run import Run, is_run, open_run

if TYPE_CHECKING:
    from tclip.ternary.tensor import TernaryTensor


def tables_of(
    path: str, recipe: str, overrides: Sequence[str], revision: str | None, *, each_weight: bool
) -> Iterator[Table]:
    """Yield the tables about a run folder, a packed folder or a model.

    Args:
        path: the folder or Hub id.
        recipe: by which a dense model is judged; a run has its own, a packed folder is as it is.
        overrides: KEY=VALUE over that recipe.
        revision: of a model on the Hub.
        each_weight: a row for every parameter instead of one for each tower and role.

    Raises:
        UserError: no such model, not supported, or the recipe does not fit it.
    """
    folder = Path(path).expanduser()
    # a model that was pulled with all its files has its recipe beside it
    if is_run(folder):
        run = open_run(folder)
        yield _stages(run)
        done = [each for each in (run.packed, run.trained, run.calibrated) if each.is_dir()]
        path, revision = (
            (str(done[0]), None) if done else (str(run.recipe.model.id), run.recipe.model.revision)
        )
        recipe = str(folder / "recipe.yaml")
    files = fetch_config(path, revision)
    if files.is_packed and not Path(path).expanduser().is_dir():
        files = fetch(path, revision)  # codes are counted, not only shapes
    plan, ternary = _packed(files) if files.is_packed else _dense(files, recipe, overrides)
    how = "are" if files.is_packed else "would become"
    title = f"{path}: {plan.ternary_share:.2%} of all weights {how} ternary"
    if not files.is_packed:
        title += f" by recipe {recipe}"
    yield _each_weight(plan, title) if each_weight else _by_role(plan, ternary, title)
    yield _bytes(folder if folder.is_dir() else files.folder)


def _dense(
    files: ModelFiles, recipe: str, overrides: Sequence[str]
) -> tuple[Plan, Mapping[str, "TernaryTensor"]]:
    sites = find_sites(empty_model(files, "meta"))
    return plan_ternarization(sites, read_recipe(recipe, overrides).quantize), {}


def _packed(files: ModelFiles) -> tuple[Plan, Mapping[str, "TernaryTensor"]]:
    from tclip.packed.load import load_packed

    clip = load_packed(files.folder)
    bits = {name: weight.bits for name, weight in clip.ints.items()}
    decisions = (
        Decision(site, site.name in clip.ternary, "as stored", bits.get(site.name))
        for site in find_sites(clip.model)
    )
    return Plan(tuple(decisions)), clip.ternary


def _by_role(plan: Plan, ternary: Mapping[str, "TernaryTensor"], title: str) -> Table:
    """The rows that calibration shows; with zeros, where there are codes."""
    from tclip.calibrate.stage import plan_table

    table = plan_table(plan)
    if not ternary:
        return Table(title, table.columns, table.rows)
    shares = [_zeros(row, plan, ternary) for row in plan.summary()]
    columns = ["tower", "role", "tensors", "weights", "form", "zeros, %"]
    rows = [[*row[:-1], share] for row, share in zip(table.rows, shares, strict=True)]
    return Table(title, columns, rows)


def _zeros(row: SummaryRow, plan: Plan, ternary: Mapping[str, "TernaryTensor"]) -> float | None:
    if not row.ternary:
        return None
    group = (
        each.site for each in plan.decisions if (each.site.tower, each.site.role) == (row.tower, row.role)
    )
    zeros = sum(ternary[site.name].zeros * site.num_weights for site in group if site.name in ternary)
    return round(100 * zeros / row.num_weights, 1)


def _each_weight(plan: Plan, title: str) -> Table:
    rows = [
        [
            each.site.name,
            "×".join(map(str, each.site.shape)),
            each.form,
            each.why,
        ]
        for each in plan.decisions
    ]
    return Table(title, ["weight", "shape", "form", "why"], rows)


def _stages(run: Run) -> Table:
    from tclip.pipeline import STAGES, stage_fingerprint

    finished = run.finished()
    states = {True: "finished", False: "finished with another recipe"}
    rows = [
        [
            name,
            states[finished[name] == stage_fingerprint(run.recipe, name)] if name in finished else "not run",
        ]
        for name in STAGES
    ]
    return Table(f"Stages of {run.folder}", ["stage", "state"], rows)


def _bytes(folder: Path) -> Table:
    """Real bytes, a row for each file, or for each folder of a run."""
    sizes = {entry.name: sum(map(_size, _files(entry))) for entry in sorted(folder.iterdir())}
    sizes["all"] = sum(sizes.values())
    return Table(f"Bytes in {folder}", ["file", "bytes"], [list(item) for item in sizes.items()])


def _size(file: Path) -> int:
    return file.stat().st_size


def _files(entry: Path) -> Iterator[Path]:
    return (file for file in entry.rglob("*") if file.is_file()) if entry.is_dir() else iter([entry])
