"""Measure an encoder on an evaluation set.

M images, T texts, C classes, E embedding.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tclip.data.eval_sets import EvalSample, EvalSet
from tclip.data.sample import digest
from tclip.evaluate.classifiers import kept_classifier
from tclip.evaluate.confidence import confidences, expected_calibration_error
from tclip.evaluate.encoder import EMBEDDING_VERSION, Encoder, Scaled, embed_all_texts
from tclip.evaluate.images import Embedded, Progress, embed_images
from tclip.evaluate.multilabel import rank_pictures
from tclip.evaluate.outcomes import Outcome, metrics_of
from tclip.evaluate.record import Record
from tclip.evaluate.retrieval import retrieve
from tclip.evaluate.zeroshot import TOP, classify


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

    def embed_images(self) -> Embedded:
        """Return the embeddings of the images."""
        return embed_images(self.encoder, self.eval_set, self.batch_size, self.limit, self.progress)


@dataclass(frozen=True)
class _Scored:
    """What came of it."""

    outcome: Outcome
    metrics: dict[str, float]
    chance: float
    images: Embedded
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
    images = scored.images
    record = Record(
        dataset=eval_set.name,
        model=model,
        pretrained=pretrained,
        task=eval_set.task,
        metrics=scored.metrics,
        num_samples=len(images.samples),
        seconds=time.monotonic() - began,
        throughput={"images_per_second": images.per_second, **scored.throughput},
        chance=scored.chance,
        weights=weights,
        data=eval_set.fingerprint(),
        limit=limit,
        samples=digest(*((sample.key, sample.classes, sample.captions) for sample in images.samples)),
        images=images.digest,
        prompts=digest(eval_set.classnames, eval_set.templates) if eval_set.classnames else "",
        embedding_version=EMBEDDING_VERSION,
    )
    return Measurement(record, scored.outcome)


def _classification(work: _Work) -> _Scored:
    prompts = [work.eval_set.prompts(index) for index in range(len(work.eval_set.classnames))]
    classifier_CE, throughput = kept_classifier(work.encoder, prompts, work.weights, work.batch_size)
    images = work.embed_images()
    image_ME = images.embedding_ME
    if work.eval_set.multilabel:
        target_MC = _targets(images.samples, len(prompts))
        outcome, chance = rank_pictures(image_ME, classifier_CE, target_MC), target_MC.double().mean().item()
        metrics = metrics_of(outcome)
    else:
        label_M = torch.tensor([sample.classes[0] for sample in images.samples])
        outcome, chance = classify(image_ME, classifier_CE, label_M), 1 / len(prompts)
        metrics = metrics_of(outcome) | _calibration(work.encoder, image_ME, classifier_CE, outcome)
        if len(prompts) <= TOP:
            del metrics["acc5"]  # it is 1 whatever the model does
    return _Scored(outcome, metrics, chance, images, throughput)


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
    images = work.embed_images()
    owner_T = torch.tensor([owner for owner, sample in enumerate(images.samples) for _ in sample.captions])
    texts = [caption for sample in images.samples for caption in sample.captions]
    began = time.monotonic()
    text_TE = embed_all_texts(work.encoder, texts, work.batch_size)
    throughput = {"texts_per_second": len(texts) / (time.monotonic() - began)}
    outcome = retrieve(images.embedding_ME, text_TE, owner_T)
    return _Scored(outcome, metrics_of(outcome), 1 / len(images.samples), images, throughput)
