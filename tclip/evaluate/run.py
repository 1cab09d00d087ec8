"""Measure an encoder on an evaluation set: images are streamed, only their embeddings are kept.

M images, T texts, C classes, E embedding.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tclip.data.eval_sets import EvalSample, EvalSet
from tclip.data.prefetch import map_ahead, prefetch
from tclip.data.sample import digest
from tclip.errors import DataError
from tclip.evaluate.classifiers import kept_classifier
from tclip.evaluate.confidence import confidences, expected_calibration_error
from tclip.evaluate.encoder import Encoder, Scaled, batched, embed, embed_all_texts, image_tower
from tclip.evaluate.multilabel import rank_pictures
from tclip.evaluate.outcomes import Outcome, metrics_of
from tclip.evaluate.record import Record
from tclip.evaluate.retrieval import retrieve
from tclip.evaluate.zeroshot import TOP, classify

Progress = Callable[[int], object]  # called with the number of images done so far
DECODERS = 8  # threads at most


class Measurement(NamedTuple):
    """What an encoder scored, and what became of every sample."""

    record: Record
    outcome: Outcome


@dataclass(frozen=True)
class _Work:
    """What is to be done; see evaluate."""

    encoder: Encoder
    eval_set: EvalSet
    weights: str
    batch_size: int
    limit: int | None
    progress: Progress | None


@dataclass(frozen=True)
class _Scored:
    """What came of it; samples are without their bytes."""

    outcome: Outcome
    metrics: dict[str, float]
    chance: float
    samples: list[EvalSample]
    throughput: dict[str, float]


def evaluate(
    encoder: Encoder,
    eval_set: EvalSet,
    *,
    model: str = "",
    pretrained: str = "",
    weights: str = "",
    batch_size: int = 64,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Return what the encoder scores.

    Args:
        encoder: what is measured.
        eval_set: what it is measured on.
        model: name for the record.
        pretrained: origin or form of the weights, for the record.
        weights: identifies the weights, for the record and for classifiers that are kept from one measurement
            to the next; "": none is kept.
        batch_size: images, or texts, at a time.
        limit: look at the first so many images only.
        progress: told how many images are done.

    Raises:
        DataError: the set is empty, or a sample of it is broken.
        ModelError: embeddings are not finite.
    """
    began = time.monotonic()
    measure = _retrieval if eval_set.task == "zeroshot_retrieval" else _classification
    scored = measure(_Work(encoder, eval_set, weights, batch_size, limit, progress))
    record = Record(
        dataset=eval_set.name,
        model=model,
        pretrained=pretrained,
        task=eval_set.task,
        metrics=scored.metrics,
        num_samples=len(scored.samples),
        seconds=time.monotonic() - began,
        throughput=scored.throughput,
        chance=scored.chance,
        weights=weights,
        data=eval_set.fingerprint(),
        limit=limit,
        samples=digest(*((sample.key, sample.classes, sample.captions) for sample in scored.samples)),
    )
    return Measurement(record, scored.outcome)


def _classification(work: _Work) -> _Scored:
    prompts = [work.eval_set.prompts(index) for index in range(len(work.eval_set.classnames))]
    classifier_CE, throughput = kept_classifier(work.encoder, prompts, work.weights, work.batch_size)
    image_ME, samples, images_per_second = _embed_images(work)
    if work.eval_set.multilabel:
        target_MC = _targets(samples, len(prompts))
        outcome, chance = rank_pictures(image_ME, classifier_CE, target_MC), target_MC.double().mean().item()
        metrics = metrics_of(outcome)
    else:
        label_M = torch.tensor([sample.classes[0] for sample in samples])
        outcome, chance = classify(image_ME, classifier_CE, label_M), 1 / len(prompts)
        metrics = metrics_of(outcome) | _calibration(work.encoder, image_ME, classifier_CE, outcome)
        if len(prompts) <= TOP:
            del metrics["acc5"]  # it is 1 whatever the model does
    return _Scored(outcome, metrics, chance, samples, images_per_second | throughput)


def _calibration(
    encoder: Encoder, image_ME: Float[Tensor, "M E"], classifier_CE: Float[Tensor, "C E"], outcome: Outcome
) -> dict[str, float]:
    scale = encoder.logit_scale if isinstance(encoder, Scaled) else None
    if scale is None:
        return {}
    right_M = torch.from_numpy(outcome["rank"] == 0)
    error = expected_calibration_error(confidences(image_ME, classifier_CE, scale), right_M)
    return {"expected_calibration_error": error}


def _targets(samples: list[EvalSample], num_classes: int) -> Int[Tensor, "M C"]:
    target_MC = torch.zeros(len(samples), num_classes, dtype=torch.long)
    for row, sample in enumerate(samples):
        target_MC[row, list(sample.classes)] = 1
    return target_MC


def _retrieval(work: _Work) -> _Scored:
    image_ME, samples, throughput = _embed_images(work)
    owner_T = torch.tensor([owner for owner, sample in enumerate(samples) for _ in sample.captions])
    texts = [caption for sample in samples for caption in sample.captions]
    began = time.monotonic()
    text_TE = embed_all_texts(work.encoder, texts, work.batch_size)
    throughput["texts_per_second"] = len(texts) / (time.monotonic() - began)
    outcome = retrieve(image_ME, text_TE, owner_T)
    return _Scored(outcome, metrics_of(outcome), 1 / len(samples), samples, throughput)


def _embed_images(work: _Work) -> tuple[Float[Tensor, "M E"], list[EvalSample], dict[str, float]]:
    tower, began = image_tower(work.encoder), time.monotonic()

    def prepare(batch: list[EvalSample]) -> tuple[list[EvalSample], object]:
        # The encoded images are let go here, or they would pile up beside the embeddings.
        return [each.without_image() for each in batch], tower.prepare([each.image() for each in batch])

    batches = prefetch(batched(islice(work.eval_set, work.limit), work.batch_size))
    embeddings, seen = list[Tensor](), list[EvalSample]()
    for kept, inputs in map_ahead(prepare, batches, min(DECODERS, os.cpu_count() or 1)):
        embeddings.append(embed(tower.embed, inputs))
        seen += kept
        if work.progress is not None:
            work.progress(len(seen))
    if not embeddings:
        raise DataError(f'"{work.eval_set.spec}" has no samples in {work.eval_set.split}.')
    return torch.cat(embeddings), seen, {"images_per_second": len(seen) / (time.monotonic() - began)}
