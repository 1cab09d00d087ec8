"""Measure an encoder on an evaluation set: images are streamed, only their embeddings are kept.

M images, T texts, E embedding.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tclip.data.eval_sets import EvalSample, EvalSet
from tclip.data.prefetch import prefetch
from tclip.errors import DataError
from tclip.evaluate.encoder import Encoder, batched, embed, embed_all
from tclip.evaluate.record import Record
from tclip.evaluate.retrieval import retrieval_metrics
from tclip.evaluate.zeroshot import build_classifier, classification_metrics

Progress = Callable[[int], object]  # called with the number of images done so far


def evaluate(
    encoder: Encoder,
    eval_set: EvalSet,
    *,
    model: str = "",
    pretrained: str = "",
    batch_size: int = 64,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Record:
    """Return what the encoder scores.

    Args:
        encoder: what is measured.
        eval_set: what it is measured on.
        model: name for the record.
        pretrained: origin or form of the weights, for the record.
        batch_size: images, or texts, at a time.
        limit: look at the first so many images only.
        progress: told how many images are done.

    Raises:
        DataError: the set is empty, or a sample of it is broken.
        ModelError: embeddings are not finite.
    """
    began = time.monotonic()
    samples = islice(eval_set, limit)
    measure = _retrieval if eval_set.task == "zeroshot_retrieval" else _classification
    metrics, num_samples = measure(encoder, eval_set, samples, batch_size, progress)
    return Record(
        dataset=eval_set.name,
        model=model,
        pretrained=pretrained,
        task=eval_set.task,
        metrics=metrics,
        num_samples=num_samples,
        seconds=time.monotonic() - began,
    )


def _classification(
    encoder: Encoder,
    eval_set: EvalSet,
    samples: Iterable[EvalSample],
    batch_size: int,
    progress: Progress | None,
) -> tuple[dict[str, float], int]:
    num_classes = len(eval_set.classnames)
    classifier_CE = build_classifier(
        encoder, [eval_set.prompts(index) for index in range(num_classes)], batch_size
    )
    image_ME, labels = _embed_images(encoder, eval_set, samples, batch_size, progress)
    label_M = torch.tensor([sample.label for sample in labels])
    return classification_metrics(image_ME, classifier_CE, label_M), len(image_ME)


def _retrieval(
    encoder: Encoder,
    eval_set: EvalSet,
    samples: Iterable[EvalSample],
    batch_size: int,
    progress: Progress | None,
) -> tuple[dict[str, float], int]:
    image_ME, found = _embed_images(encoder, eval_set, samples, batch_size, progress)
    owner_T = torch.tensor([owner for owner, sample in enumerate(found) for _ in sample.captions])
    texts = [caption for sample in found for caption in sample.captions]
    text_TE = embed_all(encoder.embed_texts, texts, batch_size)
    return retrieval_metrics(image_ME, text_TE, owner_T), len(image_ME)


def _embed_images(
    encoder: Encoder,
    eval_set: EvalSet,
    samples: Iterable[EvalSample],
    batch_size: int,
    progress: Progress | None,
) -> tuple[Float[Tensor, "M E"], list[EvalSample]]:
    embeddings, seen = list[Tensor](), list[EvalSample]()
    for kept, images in prefetch(_decoded(samples, batch_size)):
        embeddings.append(embed(encoder.embed_images, images))
        seen += kept
        if progress is not None:
            progress(len(seen))
    if not embeddings:
        raise DataError(f'"{eval_set.spec}" has no samples in {eval_set.split}.')
    return torch.cat(embeddings), seen


def _decoded(
    samples: Iterable[EvalSample], batch_size: int
) -> Iterator[tuple[list[EvalSample], list[Image.Image]]]:
    for batch in batched(samples, batch_size):
        # The encoded images are let go here, or they would pile up beside the embeddings.
        yield [sample.without_image() for sample in batch], [sample.image() for sample in batch]
