"""What can be known to be wrong with a recipe before a model or any data is opened."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tclip.errors import RecipeError, did_you_mean, listed
from tclip.recipe.local import MADE_IMAGES, WORDS, is_local, missing, whole_model
from tclip.recipe.schema import Recipe

# what is made and not read, by key
MADE = {"data.images": MADE_IMAGES, "data.texts": (WORDS,)}


def check_recipe(recipe: Recipe, earlier: Recipe | None = None) -> None:
    """Raise one RecipeError that lists everything the recipe lacks: model, data, paths that do not exist.

    Only names that must be local are looked up; Hub ids (owner/name, hf://) are taken on trust, so that
    nothing here needs the network.

    Args:
        recipe: what is to be run.
        earlier: the same before a change; what it lacked too is not looked at, since a run folder may be
            evaluated where the data that it was trained on are not.
    """
    known = set(_problems(earlier)) if earlier else set()
    _refuse(recipe, [problem for problem in _problems(recipe) if problem not in known])


def check_contradictions(recipe: Recipe) -> None:
    """Raise one RecipeError that lists what in a recipe cannot be right with any model and data."""
    _refuse(recipe, [*_belonging(recipe), *_extras(recipe), *_forms(recipe)])


def _refuse(recipe: Recipe, problems: list[str]) -> None:
    if problems:
        raise RecipeError(f'The recipe "{recipe.name}" cannot run as it is:{listed(problems)}')


def _problems(recipe: Recipe) -> Iterator[str]:
    yield from _model(recipe)
    yield from _pairs(recipe)
    yield from _belonging(recipe)
    yield from _extras(recipe)
    yield from _sources(recipe)
    yield from _forms(recipe)
    yield from filter(None, [tracker_problem(recipe), _compiler_problem(recipe)])


def _model(recipe: Recipe) -> Iterator[str]:
    if recipe.model.id is None:
        yield "model.id is not set: name the CLIP to compress, such as --set model.id=ViT-B-32."
    for key, name in (("model.id", recipe.model.id), ("teacher.id", recipe.teacher.id)):
        if name and is_local(name):
            file = Path(name).expanduser().is_file()
            yield from [f"{key}: {whole_model(name)}"] if file else _existing(key, name)


def _pairs(recipe: Recipe) -> Iterator[str]:
    """Training and calibration need pairs; plain rounding without a re-fit does not."""
    data, calibrate = recipe.data, recipe.calibrate
    if recipe.train and not data.train:
        yield (
            "data.train is empty but train is on: name a source of image-text pairs, such as "
            "--set data.train=pixparse/cc3m-wds, or set train to null."
        )
    elif not data.train and not data.calibrate and (calibrate.method == "gptq" or calibrate.refit):
        yield (
            "data.calibrate is empty but calibration needs image-text pairs: name a source, or set "
            "calibrate.method to round and calibrate.refit to false."
        )
    elif not data.train and not data.calibrate and recipe.quantize.is_rated:
        key = "budget" if recipe.quantize.budget else "max_cost"
        yield (
            f"data.calibrate is empty but quantize.{key} is shared out by what each weight costs on "
            f"image-text pairs: name a source, or set quantize.{key} to null."
        )


def _belonging(recipe: Recipe) -> Iterator[str]:
    """Made-up captions say nothing of their image: what asks whether the two belong together needs others."""
    if recipe.train and recipe.data.captions == WORDS:
        for name in ("contrastive", "interactive"):
            if weight := getattr(recipe.train.losses, name):
                yield (
                    f"train.losses.{name} is {weight} but data.captions is {WORDS}: it needs captions that "
                    "belong to the images; set it to 0, or data.captions to random."
                )


def _extras(recipe: Recipe) -> Iterator[str]:
    """What is named is used, and what is used is named."""
    data, sections = recipe.data, {"calibrate": recipe.calibrate, "train": recipe.train}
    for kind, named in {"images": data.images, "texts": data.texts}.items():
        asked = {
            name: getattr(section, f"extra_{kind}") if section else 0 for name, section in sections.items()
        }
        if named and not any(asked.values()):
            yield (
                f"data.{kind} is given but nothing uses it: set train.extra_{kind} or calibrate.extra_{kind} "
                f"to how many, or data.{kind} to []."
            )
        for name, count in asked.items():
            if count and not named:
                yield f"{name}.extra_{kind} is {count} but data.{kind} is empty: name one, or set it to 0."


def _sources(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    named = {
        "data.train": data.train,
        "data.images": data.images,
        "data.texts": data.texts,
        "data.calibrate": data.calibrate,
        "eval.data": recipe.eval.data,
    }
    for key, sources in named.items():
        for source in sorted(set(sources) - set(MADE.get(key, ())), key=sources.index):
            if source.startswith("datasets://") and find_spec("datasets") is None:
                yield f"{key}: {source} needs the datasets package: pip install 'tclip[datasets]'."
            elif (
                key == "data.texts" or is_local(source) or "/" not in source
            ):  # those of the Hub have an owner
                problems = _folder(key, source) if key == "eval.data" else _existing(key, source)
                yield from (f"{each}{did_you_mean(source, MADE.get(key, ()))}" for each in problems)


def _existing(key: str, name: str) -> Iterator[str]:
    problem = missing(name)
    if problem:
        yield f"{key}: {problem}"


def _folder(key: str, name: str) -> Iterator[str]:
    if Path(name).expanduser().is_file():
        yield f"{key}: {name} is a file, a folder is needed."
    else:
        yield from _existing(key, name)


def _forms(recipe: Recipe) -> Iterator[str]:
    """What is measured must have been made."""
    forms = recipe.eval.forms or ()
    if "trained" in forms and recipe.train is None:
        yield "eval.forms asks for trained but train is null: remove it, or train."
    if "onnx" in forms and recipe.export.onnx is None:
        yield "eval.forms asks for onnx but export.onnx is null: remove it, or export."


def tracker_problem(recipe: Recipe) -> str | None:
    """Return a sentence where the package of the recipe's tracker is not installed, else None."""
    tracker = recipe.train.tracker if recipe.train else None
    found = find_spec(tracker) if tracker else None
    # a folder of that name beside us, such as wandb leaves, is no package
    if tracker is None or (found is not None and found.origin is not None):
        return None
    package = tracker.replace("_", "-")
    return f"train.tracker: {tracker} is not installed: pip install {package}, or set it to null."


def _compiler_problem(recipe: Recipe) -> str | None:
    if recipe.train is None or not recipe.train.compile:
        return None
    # as torch itself looks for one
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    try:
        subprocess.run([compiler, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        why = f"but {compiler} does not run: install it, or set it to false."
        return f"train.compile needs a C++ compiler, {why}"
    return None
