"""The tables of `tclip inspect`: weights by tower and role, and real bytes of real files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tclip.models.fetch import ModelFiles, fetch_config
from tclip.models.load import empty_model
from tclip.models.sites import Decision, Plan, find_sites, plan_ternarization
from tclip.progress import Table
from tclip.recipe.read import read_recipe
from tclip.run import Run, open_run

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
    if (folder / "recipe.yaml").is_file():
        run = open_run(folder)
        yield _stages(run)
        done = [each for each in (run.packed, run.trained, run.calibrated) if each.is_dir()]
        path, revision = (
            (str(done[0]), None) if done else (str(run.recipe.model.id), run.recipe.model.revision)
        )
        recipe = str(folder / "recipe.yaml")
    files = fetch_config(path, revision)
    if files.is_packed:
        plan, ternary = _packed(files)
    else:
        plan, ternary = _dense(files, recipe, overrides), {}
    yield _each_weight(plan, path) if each_weight else _by_role(plan, ternary, path)
    yield _bytes(folder if folder.is_dir() else files.folder)


def _dense(files: ModelFiles, recipe: str, overrides: Sequence[str]) -> Plan:
    return plan_ternarization(find_sites(empty_model(files, "meta")), read_recipe(recipe, overrides).quantize)


def _packed(files: ModelFiles) -> tuple[Plan, Mapping[str, "TernaryTensor"]]:
    from tclip.packed.load import load_packed

    clip = load_packed(files.folder)
    sites = find_sites(clip.model)
    decisions = [
        Decision(site, site.name in clip.ternary, "stored" if site.name in clip.ternary else site.reason)
        for site in sites
    ]
    return Plan(tuple(decisions)), clip.ternary


def _by_role(plan: Plan, ternary: Mapping[str, "TernaryTensor"], path: str) -> Table:
    """One row for each tower and role, one for all; zeros are known where codes are."""
    groups: dict[tuple[str, str], list[Decision]] = {}
    for decision in plan.decisions:
        groups.setdefault((decision.site.tower, decision.site.role), []).append(decision)
    rows = [[*key, *_figures(group, ternary)] for key, group in groups.items()]
    rows.append(["all", "", *_figures(list(plan.decisions), ternary)])
    columns = ["tower", "role", "parameters", "weights", "ternary weights", "ternary %", "zeros %"]
    return Table(f"Weights of {path}", columns, rows)


def _figures(group: list[Decision], ternary: Mapping[str, "TernaryTensor"]) -> list[int | float | None]:
    weights = sum(decision.site.num_weights for decision in group)
    chosen = [decision.site for decision in group if decision.ternary]
    coded = sum(site.num_weights for site in chosen)
    zeros = sum(ternary[site.name].zeros * site.num_weights for site in chosen if site.name in ternary)
    share = round(100 * coded / weights, 2)
    return [len(group), weights, coded, share, round(100 * zeros / coded, 2) if coded and ternary else None]


def _each_weight(plan: Plan, path: str) -> Table:
    rows = [
        [each.site.name, "×".join(map(str, each.site.shape)), "ternary" if each.ternary else "kept", each.why]
        for each in plan.decisions
    ]
    return Table(f"Weights of {path}", ["weight", "shape", "becomes", "why"], rows)


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
