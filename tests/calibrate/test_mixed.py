"""Budgets: what they buy, what they refuse, and that the file is as large as was said."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch

from tclip.calibrate import mixed
from tclip.calibrate.allotment import allot, ratings_table
from tclip.calibrate.mixed import sensitivity
from tclip.calibrate.sensitivity import FORMS, Cost, Rating
from tclip.calibrate.stage import calibrate
from tclip.errors import RecipeError, UserError
from tclip.models.sites import find_sites, plan_ternarization
from tclip.packed.load import load_packed
from tclip.packed.predict import predicted_bytes
from tclip.packed.stage import pack
from tclip.progress import Collected
from tclip.recipe.quantize import Part, Quantize
from tclip.recipe.schema import Calibrate, Recipe, Sensitivity
from tclip.run import Run, write_json
from tests.calibrate.conftest import Tiny
from tests.calibrate.test_stage import run_with

Tinies = Callable[[str], Tiny]
FEW = Part(include=("visual_projection.weight", "*.0.mlp.*.weight", "*.1.mlp.fc2.weight"), preset="none")
SMALL = {"sensitivity": Sensitivity(pairs=8, unseen=4), "calibrate": Calibrate(method="round", pairs=8)}


def few(budget: str | None = None, max_cost: float | None = None) -> Quantize:
    """Four weights of the image tower to share a budget among."""
    return Quantize(image=FEW, text=Part(preset="none"), budget=budget, max_cost=max_cost)


def made_up(names: list[str]) -> list[Rating]:
    """Ratings with uneven costs."""
    costs = [0.3, 0.011, 0.07, 0.0004]
    return [
        Rating(
            name,
            "image",
            "ffn",
            1,
            {
                form: Cost(costs[index % 4] / share, 9.9)
                for form, share in zip(FORMS, (1, 15, 900), strict=True)
            },
        )
        for index, name in enumerate(names)
    ]


@pytest.mark.parametrize("budget", ["100%", "100.4%", "100.9%", "101.3%", "102%"])
def test_an_allotment_is_the_best_of_all(tiny: Tinies, budget: str) -> None:
    model, recipe = tiny("clip").clip.model, Recipe(schema=1, quantize=few(budget))
    plan = plan_ternarization(find_sites(model), recipe.quantize)
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    ratings = made_up(plan.ternary_names)
    found = allot(ratings, shapes, plan, recipe)
    best = float("inf")
    for forms in product(FORMS, repeat=len(ratings)):
        bits = {r.name: FORMS[f] for r, f in zip(ratings, forms, strict=True) if FORMS[f]}
        if predicted_bytes(shapes, {**plan.bits, **bits}, "row", "float16") <= found.allowed_bytes:
            best = min(best, sum(r.costs[f].distance for r, f in zip(ratings, forms, strict=True)))
    assert found.cost == pytest.approx(best)
    assert found.predicted_bytes == predicted_bytes(shapes, {**plan.bits, **found.bits}, "row", "float16")
    assert found.predicted_bytes <= found.allowed_bytes
    assert bool(found.bits) == (budget != "100%")
    rows = ratings_table(ratings, shapes, plan, recipe, found).rows
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    assert {row[0]: row[-1] for row in rows} == {
        r.name: f"{found.bits[r.name]} bits" if r.name in found.bits else "ternary" for r in ratings
    }


@pytest.mark.parametrize("max_cost", [0.0267, 0.03, 0.085, 0.2, 0.3, 0.39, 1.0])
def test_within_a_cost_the_file_is_the_smallest_of_all(tiny: Tinies, max_cost: float) -> None:
    model, recipe = tiny("clip").clip.model, Recipe(schema=1, quantize=few(max_cost=max_cost))
    plan = plan_ternarization(find_sites(model), recipe.quantize)
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    ratings = made_up(plan.ternary_names)
    found = allot(ratings, shapes, plan, recipe)
    sizes = []
    for forms in product(FORMS, repeat=len(ratings)):
        bits = {r.name: FORMS[f] for r, f in zip(ratings, forms, strict=True) if FORMS[f]}
        if sum(r.costs[f].distance for r, f in zip(ratings, forms, strict=True)) <= max_cost:
            sizes.append(predicted_bytes(shapes, {**plan.bits, **bits}, "row", "float16"))
    assert found.cost <= max_cost
    assert found.predicted_bytes == predicted_bytes(shapes, {**plan.bits, **found.bits}, "row", "float16")
    assert min(sizes) <= found.predicted_bytes <= min(sizes) + 8 * len(found.bits)  # the header's few bytes
    assert found.allowed_bytes is None
    assert bool(found.bits) == (max_cost < 0.38)


def test_a_cost_that_is_too_low_is_refused(tiny: Tinies) -> None:
    model = tiny("clip").clip.model
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    for max_cost, message in (
        (1e-300, "even at 8 bits the weights cost 0.0"),
        (0.0005, "nothing to be ternary"),
    ):
        recipe = Recipe(schema=1, quantize=few(max_cost=max_cost))
        plan = plan_ternarization(find_sites(model), recipe.quantize)
        with pytest.raises(RecipeError, match=f"quantize.max_cost {max_cost:g} .*{message}.* give more"):
            allot(made_up(plan.ternary_names), shapes, plan, recipe)


def test_too_little_and_too_much_are_refused(tiny: Tinies) -> None:
    model = tiny("clip").clip.model
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    for budget, message in (
        ("1kB", "cannot be met: .* bytes; set at least"),
        ("1GB", "nothing to be ternary"),
    ):
        recipe = Recipe(schema=1, quantize=few(budget))
        plan = plan_ternarization(find_sites(model), recipe.quantize)
        with pytest.raises(RecipeError, match=f"quantize.budget {budget} .*{message}"):
            allot(made_up(plan.ternary_names), shapes, plan, recipe)


@pytest.fixture
def run(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Run:
    return run_with(16, tmp_path, tiny_folder("clip"), quantize=few("101%"), **SMALL)


def test_a_run_keeps_what_its_budget_buys(run: Run) -> None:
    progress = Collected()
    calibrate(run, progress)
    pack(run, progress)
    document = json.loads((run.results / "sensitivity.json").read_text())
    bits, allowed = document["allotment"]["bits"], document["allotment"]["allowed_bytes"]
    assert 0 < len(bits) < len(document["ratings"]) == 4
    size = (run.packed / "model.safetensors").stat().st_size
    assert size <= document["allotment"]["predicted_bytes"] <= allowed
    assert size > 0.99 * document["allotment"]["predicted_bytes"]
    packed = load_packed(run.packed)
    assert {name: weight.bits for name, weight in packed.ints.items()} == bits
    assert set(packed.ternary) == {each["name"] for each in document["ratings"]} - set(bits)
    ratings, plan, *_ = progress.tables
    assert ratings.title.startswith("What each weight costs alone")
    assert {row[4] for row in plan.rows} == {"ternary", "float", *(f"{each} bits" for each in bits.values())}
    assert {row[5] for row in plan.rows if row[4].endswith("bits")} == {"kept for its cost"}
    assert any("keep 8 bits" in note and f"of {allowed:,} bytes" in note for note in progress.notes)


def test_a_run_keeps_what_its_cost_asks_for(run: Run) -> None:
    sensitivity(run.recipe, Collected(), run.results / "sensitivity.json")
    ratings = json.loads((run.results / "sensitivity.json").read_text())["ratings"]
    ternary = sum(rating["costs"]["ternary"]["distance"] for rating in ratings)
    progress = Collected()
    calibrate(
        Run(run.folder, run.recipe.model_copy(update={"quantize": few(max_cost=ternary / 2)})), progress
    )
    allotment = json.loads((run.results / "sensitivity.json").read_text())["allotment"]
    assert 0 < allotment["cost"] <= ternary / 2
    assert {name: weight.bits for name, weight in load_packed(run.calibrated).ints.items()} == allotment[
        "bits"
    ]
    assert any(f"bytes, at a cost of {allotment['cost']:.3g}" in note for note in progress.notes)


def test_ratings_are_made_once_whatever_the_budget(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calibrate(run, Collected())
    before = json.loads((run.results / "sensitivity.json").read_text())

    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("rated again")

    monkeypatch.setattr(mixed, "rate", never)
    calibrate(Run(run.folder, run.recipe.model_copy(update={"quantize": few("100.7%")})), Collected())
    after = json.loads((run.results / "sensitivity.json").read_text())
    assert after["ratings"] == before["ratings"]
    assert after["allotment"] != before["allotment"]
    other = run.recipe.model_copy(update={"sensitivity": Sensitivity(pairs=7, unseen=4)})
    with pytest.raises(AssertionError, match="rated again"):
        calibrate(Run(run.folder, other), Collected())


def test_ratings_in_the_place_of_a_run_to_come_serve_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = run.recipe.model_copy(
        update={"data": run.recipe.data.model_copy(update={"train": ("data/captions.csv",)})}
    )
    sensitivity(relative, Collected(), run.results / "sensitivity.json")
    monkeypatch.setattr(mixed, "rate", None)
    calibrate(run, Collected())


@pytest.mark.parametrize("damage", ["nothing", '{"of": 1, "ratings": [{"name": "x"}]}'])
def test_an_interrupted_call_goes_on_from_what_its_file_holds(run: Run, tmp_path: Path, damage: str) -> None:
    out, whole = tmp_path / "out.json", Collected()
    ratings = sensitivity(run.recipe, whole, out)
    document = json.loads(out.read_text())
    assert [each["name"] for each in document["ratings"]] == [rating.name for rating in ratings]
    write_json(out, {**document, "ratings": document["ratings"][:2]})
    if damage != "nothing":
        out.write_text(damage)
    again = Collected()
    assert sensitivity(run.recipe, again, out) == ratings
    assert again.tables == whole.tables
    assert "allotment" not in json.loads(out.read_text())


@pytest.mark.parametrize("content", ["{", '{"precious": 1}', "[]", None])
def test_what_holds_no_ratings_is_not_written_over(run: Run, tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "out.json"
    if content is None:
        out.mkdir()
    else:
        out.write_text(content)
    with pytest.raises(UserError, match=r"is a folder: name a file|holds no ratings: name another"):
        sensitivity(run.recipe, Collected(), out)
    assert out.is_dir() or out.read_text() == content


def test_who_is_stopped_without_a_file_hears_that_nothing_is_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mixed, "rate", stop)
    with pytest.raises(KeyboardInterrupt, match="no rating is kept: give --out"):
        sensitivity(run.recipe, Collected())
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        sensitivity(run.recipe, Collected(), tmp_path / "out.json")


def test_what_training_alone_reads_changes_no_rating(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = run.recipe.data.model_copy(update={"views": 4, "min_crop": 0.5, "shuffle": 9, "captions": "first"})
    calibrate(run, Collected())
    monkeypatch.setattr(mixed, "rate", None)
    calibrate(Run(run.folder, run.recipe.model_copy(update={"data": data})), Collected())


def test_without_a_budget_nothing_is_said_of_one(run: Run) -> None:
    progress = Collected()
    recipe = run.recipe.model_copy(
        update={"quantize": run.recipe.quantize.model_copy(update={"budget": None})}
    )
    ratings = sensitivity(recipe, progress)
    (table,) = progress.tables
    assert table.columns[-1] != "becomes"
    assert len(table.rows) == len(ratings) == 4
    assert all(isinstance(value, int | float) for row in table.rows for value in row[1:])
    assert torch.tensor([row[2] for row in table.rows]).min() > 0
