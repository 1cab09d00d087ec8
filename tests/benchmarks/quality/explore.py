"""Choosing a recipe's numbers without a look at the test splits: short runs, scored on training splits.

python -m tests.benchmarks.quality.explore OUT --clip CLIP --data FOLDER [--steps 100] [--set KEY=VALUE ...]

A variant is `best` with the given keys set, trained for so many steps on protocol narrow, with --candidate in
one of the ways of tests/benchmarks/quality/candidates; one line a variant is added to OUT/explored.jsonl.
Kept is the share of the original's score: retrieval among the first 1,000 images of flickr8k/train (which are
trained on: it flatters), top-1 on 2,000 images of cifar10/train and 1,000 of clothing/train, and the share of
900 pictures of three training splits whose nearest of 1,000 class names is the original's.

M images, N names, E the embedding.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from tclip import pipeline
from tclip.data.eval_sets import open_eval
from tclip.data.images import image_sources
from tclip.data.loader import iter_images
from tclip.evaluate.encoder import ClipEncoder, embed_all, embed_all_texts
from tclip.evaluate.run import evaluate
from tclip.evaluate.suite.averages import main_score
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.load import load_packed
from tclip.progress import Collected
from tclip.recipe.read import read_recipe
from tests.benchmarks.quality.candidates import CANDIDATES, trying
from tests.benchmarks.quality.cells import Cell, overrides
from tests.benchmarks.quality.work import share_calibration

LABELLED = {"flickr8k": 1000, "cifar10": 2000, "clothing": 1000}  # and how many images of each
PICTURES = ("flickr8k", "clothing", "emojitwo")
NUM_PICTURES = 300  # of each
NUM_NAMES = 1000


@torch.no_grad()
def scores(clip: Clip, data: Path) -> tuple[dict[str, float], Tensor, Tensor]:
    """Return the main scores, embeddings of the pictures, and the nearest name of each picture."""
    encoder = ClipEncoder(clip, 24)
    found = {
        name: main_score(evaluate(encoder, open_eval(str(data / name), "train"), limit=limit).record)
        for name, limit in LABELLED.items()
    }
    names = (data / "imagenet_samples/classnames.txt").read_text(encoding="utf-8").split("\n")[:NUM_NAMES]
    text_NE = embed_all_texts(encoder, [f"a photo of a {name}." for name in names], 64)
    pictures = [
        picture
        for name in PICTURES
        for picture in iter_images(
            image_sources((str(data / name),), ("none",), "train"), NUM_PICTURES, seed=5
        )
    ]
    image_ME = embed_all(encoder.embed_images, pictures, 64)
    return found, image_ME, (image_ME @ text_NE.T).argmax(1)


def kept(clip: Clip, original: Clip, data: Path) -> dict[str, float]:
    """Return what a model keeps of the original's scores, %, the mean, and the mean cosine of pictures."""
    (before, before_ME, before_M), (after, after_ME, after_M) = scores(original, data), scores(clip, data)
    shares = {name: 100 * after[name] / before[name] for name in LABELLED}
    shares["names"] = 100 * float((before_M == after_M).float().mean())
    shares["mean"] = sum(shares.values()) / len(shares)
    return shares | {"cosine": float((before_ME * after_ME).sum(1).mean())}


def main() -> None:
    """Train one variant and score it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100, help="0: calibrated only")
    parser.add_argument("--preset", default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidate", choices=sorted(CANDIDATES))
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    candidate = CANDIDATES.get(asked.candidate)
    changed = [*(candidate.settings if candidate else ()), *asked.set]
    steps, asked.steps = asked.steps, {"best": 1.0}
    cell = Cell("best", "whole", steps, asked.preset, "narrow", asked.seed)
    recipe = read_recipe("best", [*overrides(cell, asked), *changed])
    name = [asked.candidate or "plain", asked.preset, str(steps), str(asked.seed), *asked.set]
    folder = asked.out / "-".join(["explored", *name])
    share_calibration(recipe, folder, asked.out)
    last = "train" if steps else "calibrate"
    with trying(candidate):
        run = pipeline.compress(recipe, folder, Collected(), resume=True, last=last)
    result = kept(
        load_packed(run.trained if steps else run.calibrated), load_dense(str(asked.clip)), asked.data
    )
    told = {name: getattr(asked, name) for name in ("preset", "seed", "candidate", "set")}
    line = told | {"steps": steps} | result
    print(json.dumps(line), flush=True)
    with (asked.out / "explored.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
