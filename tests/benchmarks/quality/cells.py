"""The cells of the table, and the recipe of each."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product

from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe

SETS = ("flickr8k", "imagenet_samples", "cifar10", "clothing")
UNLABELLED = ("cifar10", "clothing", "emojitwo")  # of these only the images of the training split
ROUNDED = ("train=null", "calibrate.method=round", "calibrate.refit=false", "quantize.quantizer=clip2")
# One part of `best` taken away or changed, alone.
ABLATIONS: dict[str, tuple[str, ...]] = {
    "without crops": (
        "data.images=[]",
        "calibrate.extra_images=0",
        "calibrate.pairs=2048",
        "train.extra_images=0",
        "train.batch_size=80",
    ),
    "with fewer parts": ("train.batch_size=48", "train.extra_images=24", "train.extra_texts=48"),
    "with one rate": (
        "train.lr=8e-4",
        "train.ternary_lr=null",
        "train.ternary_path=null",
        "train.norm_lr=null",
        "train.recovery_lr=8e-5",
    ),
    "without the norms' rate": ("train.norm_lr=null",),
    "without learned scales": ("train.scale_lr=1e-9",),
    "at two thirds of the rate": ("train.ternary_lr=0.02",),
    "at a third of the rate": ("train.ternary_lr=0.01",),
    "without texts": ("data.texts=[]", "train.extra_texts=0", "calibrate.extra_texts=0"),
    "without captions": ("data.captions=words",),
    "without outputs": ("calibrate.outputs=false",),
    "without refit": ("calibrate.refit=false",),
    "without calibration": ("calibrate.method=round", "calibrate.refit=false"),
    "with twice the calibration": (
        "calibrate.pairs=2048",
        "calibrate.extra_images=2048",
        "calibrate.extra_texts=2048",
    ),
    "without margin": ("train.margin=0",),
    "without recovery": ("train.recovery=0",),
    "without similarity": ("train.losses.similarity=0",),
    "with more similarity": ("train.losses.similarity=0.1",),
    "with layers": ("train.losses.layers=1",),
    "with attention": ("train.losses.attention=1",),
    "with a scale every 64": ("quantize.scale=group:64",),
    "with views": ("data.views=4",),
    "with fading in": ("train.strength_warmup=0.5",),
    "with collages": ("data.images=[crops, collages]",),
}
# What bytes buy: the weights that suffer most keep 4 or 8 bits.
BUDGETS = {f"with {more} % more bytes": (f"quantize.budget={100 + more}%",) for more in (5, 15, 30, 60)}
# What convention keeps, without measuring: the first layer of images and the last of both towers.
ENDS = {"with ends at 4 bits": ('quantize.bits={"*patch_embedding.weight": 4, "*_projection.weight": 4}',)}
# What luck the pairs of calibration are: a seed of training draws no others.
PAIRS = {f"on other pairs {n}": (f"calibrate.seed={n}",) for n in (1, 2, 3)}
PARTS = {"whole": (), **ABLATIONS, **BUDGETS, **ENDS, **PAIRS}
JOINT = " + "


@dataclass(frozen=True)
class Cell:
    """One number of the table; several parts are joined by JOINT."""

    recipe: str
    part: str
    minutes: float
    preset: str
    data: str
    seed: int

    @property
    def folder(self) -> str:
        """A name for its run folder."""
        return "-".join(str(value).replace(" ", "_") for value in asdict(self).values())


def cells(asked: argparse.Namespace) -> Iterator[Cell]:
    """Every cell that was asked for; what does not train has no minutes, and one seed."""
    for recipe, part, preset, data in product(asked.recipe, asked.part, asked.preset, asked.protocol):
        if recipe in ("round", "ptq"):
            yield Cell(recipe, part, 0, preset, data, 0)
            continue
        for minutes, seed in product(asked.minutes, asked.seed):
            if minutes == 0 and seed != asked.seed[0]:
                continue
            yield Cell(recipe, part, minutes, preset, data, seed)


def overrides(cell: Cell, asked: argparse.Namespace) -> list[str]:
    """The recipe's settings for a cell."""
    root = asked.data
    settings = [
        f"model.id={asked.clip}",
        f"data.train={root / 'flickr8k'}",
        "data.text_tokens=24",
        f"eval.data=[{', '.join(str(root / name) for name in SETS)}]",
        "eval.forms=[packed]",
        "export.onnx=null",
        *(f"quantize.{tower}.preset={cell.preset}" for tower in ("image", "text")),
    ]
    trains = cell.recipe not in ("round", "ptq")
    if cell.data == "wide":
        made = ["crops"] if cell.recipe == "best" else []
        settings.append(f"data.images=[{', '.join([*made, *(str(root / name) for name in UNLABELLED)])}]")
        settings += ["train.extra_images=64"] if trains else []
        settings += ["calibrate.extra_images=1024"] if cell.recipe != "paper" else []
    if cell.recipe == "round":
        settings += ROUNDED
    if trains:
        settings.append(f"train.seed={cell.seed}")
    for part in cell.part.split(JOINT):
        settings += PARTS[part]
    return settings + (budget(cell, asked) if trains else [])


def budget(cell: Cell, asked: argparse.Namespace) -> list[str]:
    """Minutes of the clock, or the steps that stand for them; 0: calibrated only."""
    if cell.minutes == 0:
        return ["train=null"]
    if cell.recipe not in asked.steps:
        return [f"train.minutes={cell.minutes}"]
    return ["train.minutes=null", f"train.steps={round(asked.steps[cell.recipe] * cell.minutes)}"]


def recipe_of(cell: Cell, asked: argparse.Namespace) -> Recipe:
    """The recipe that a cell runs."""
    return read_recipe("best" if cell.recipe == "round" else cell.recipe, overrides(cell, asked))
