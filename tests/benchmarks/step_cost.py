"""What a step of training costs beside plain fine-tuning of the same dense CLIP, on the same batch.

python -m tests.benchmarks.step_cost CLIP PAIRS [--recipe paper best] [--steps 5] [--rounds 4] [--set ...]

PAIRS is a source of image-text pairs. The teacher's embeddings come from its cache, as in every epoch but
the first, and the batch is ready: neither side decodes. Plain fine-tuning is CLIP's contrastive loss on both
towers with the same optimizer and in the same precision; images and texts without a partner pass through it
too. Both take turns in rounds, many short ones where the machine is not quiet; the first step of a round does
not count. Parts of images and prompts of random words are new to the teacher whenever they come: what it
takes to look at those of a step is told apart, and the ratio with it.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise, repeat
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from tclip import pipeline
from tclip.data.images import image_sources
from tclip.data.loader import Batch, Extras, PairBatches
from tclip.data.pairs import open_pairs
from tclip.data.stream import PairStream
from tclip.data.texts import TextStream, open_texts
from tclip.distill.log import read_log
from tclip.distill.loop import Trainer
from tclip.distill.precision import computing_in, precision_of
from tclip.distill.student import Student, make_trainable
from tclip.distill.teacher import embedding_width, make_teacher
from tclip.distill.tracking import Tracker
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.packed.load import load_packed
from tclip.progress import Collected
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe, Train
from tclip.run import Run

BETAS = (0.9, 0.98)


def one_batch(recipe: Recipe, train: Train, clip: Clip) -> Batch:
    """The first batch that a recipe trains on."""
    data, images, texts = recipe.data, None, None
    pairs = PairStream([open_pairs(spec, data.split) for spec in data.train])
    if train.extra_images:
        images = PairStream(image_sources(data.images, data.train, data.split), paired=False)
    if train.extra_texts:
        texts = TextStream([open_texts(spec, clip.tokenizer) for spec in data.texts])
    batches = PairBatches(
        pairs,
        batch_size=train.batch_size,
        preprocess=clip.preprocess,
        tokenize=clip.tokenize,
        text_tokens=data.text_tokens,
        extras=Extras(images, train.extra_images, texts, train.extra_texts),
    )
    return next(iter(batches))


class Plain:
    """Fine-tuning of the dense model."""

    def __init__(self, recipe: Recipe, train: Train, batch: Batch) -> None:
        self._clip, self._batch = load_dense(str(recipe.model.id)), batch
        self._precision = precision_of(train.precision, self._clip.device)
        self._clip.model.requires_grad_(True)
        self._clip.model.logit_scale.requires_grad_(False)
        self._weights = [weight for weight in self._clip.model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, lr=train.recovery_lr, betas=BETAS, fused=True)

    def seconds(self, steps: int) -> list[float]:
        """Of each of so many steps."""
        return [self._step() for _ in range(steps)]

    def _step(self) -> float:
        began = time.perf_counter()
        self._loss().backward()
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - began

    def _loss(self) -> Tensor:
        with computing_in(self._precision, self._clip.device):
            image_ME = self._clip.embed_images(self._batch.images)
            text_NE = self._clip.embed_texts(self._batch.texts)
        num = self._batch.num_pairs
        logits_BB = self._clip.model.logit_scale.exp() * image_ME[:num] @ text_NE[:num].T
        # what has no partner passes through backwards too
        logits_BB = logits_BB + 0 * (image_ME.sum() + text_NE.sum())
        pairs_B = torch.arange(num)
        cross_entropy = torch.nn.functional.cross_entropy
        return cross_entropy(logits_BB, pairs_B) + cross_entropy(logits_BB.T, pairs_B)


class Ternary:
    """Training as the stage `train` does it."""

    def __init__(self, run: Run, train: Train, batch: Batch) -> None:
        recipe, self._run, self._train, self._batch = run.recipe, run, train, batch
        model = str(recipe.model.id)
        clip = make_trainable(load_dense(model), load_packed(run.calibrated), recipe.quantize, train.margin)
        width = embedding_width(clip)
        self._student = Student(clip, width, width)
        self._teacher = make_teacher(
            load_dense(model),
            recipe.data,
            "step cost",
            seed=0,
            cached=True,
            precision=precision_of(
                train.precision, torch.device("cuda" if torch.cuda.is_available() else "cpu")
            ),
        )

    def seconds(self, steps: int) -> list[float]:
        """Of each of so many steps but the first, by the log."""
        settings = self._train.model_copy(update={"steps": steps + 1, "minutes": None, "log_every": 1})
        settings = settings.model_copy(update={"checkpoint_every": 10 * steps})
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                Accelerator(),
                self._student,
                self._teacher,
                settings,
                Path(folder),
                Collected(),
                Tracker(self._run),
            )
            trainer.resume()
            trainer.run(repeat(self._batch))
            at = [line["seconds"] for line in read_log(Path(folder))]
        return [later - earlier for earlier, later in pairwise(at)]

    def first_look(self) -> float:
        """Seconds that the teacher takes for the images and texts of a step that have no partner."""
        num, teacher = self._batch.num_pairs, self._teacher
        images, texts = (
            {name: x[num:] for name, x in inputs.items()}
            for inputs in (self._batch.images, self._batch.texts)
        )
        began = time.perf_counter()
        with torch.no_grad(), computing_in(teacher.precision, teacher.clip.device):
            if self._train.extra_images:
                teacher.clip.embed_images(images)
            if self._train.extra_texts:
                teacher.clip.embed_texts(texts)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip")
    parser.add_argument("pairs")
    parser.add_argument("--recipe", nargs="+", default=["paper", "best"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=4, help="2 or more")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    for name in asked.recipe:
        given = [f"model.id={asked.clip}", f"data.train={asked.pairs}", *asked.set]
        rounding = ["calibrate.method=round", "calibrate.refit=false", "calibrate.pairs=8"]
        recipe = read_recipe(name, [*given, *rounding])
        train = recipe.train or Train(minutes=1)
        with tempfile.TemporaryDirectory() as folder:
            run = pipeline.compress(recipe, Path(folder) / "run", Collected(), last="calibrate")
            batch = one_batch(recipe, train, load_dense(asked.clip))
            plain, ternary = Plain(recipe, train, batch), Ternary(run, train, batch)
            rounds = [
                (
                    statistics.median(plain.seconds(asked.steps + 1)[1:]),
                    statistics.median(ternary.seconds(asked.steps)),
                    statistics.median(ternary.first_look() for _ in range(asked.steps)),
                )
                for _ in range(asked.rounds)
            ]
        low, middle, high = statistics.quantiles((theirs / ours for ours, theirs, _ in rounds), n=4)
        ours, theirs, new = (statistics.median(column) for column in zip(*rounds, strict=True))
        extras = f"{train.extra_images} images, {train.extra_texts} texts"
        print(
            f"{name}: {train.batch_size} pairs, {extras} a step, {torch.get_num_threads()} threads; "
            f"plain {ours:.2f} s, {name} {theirs:.2f} s: "
            f"{middle:.2f} times (middle half {low:.2f} to {high:.2f}); with "
            f"the teacher's {new:.2f} s for what has no partner {(theirs + new) / ours:.2f} times",
            flush=True,
        )


if __name__ == "__main__":
    main()
