"""Queries of an evaluation set, and the images that the original and the packed model rank first for each.

The queries of a retrieval set are the first captions of its images, of a classification set the names of the
classes that the images searched show.

Q queries, N images, K ranks looked at, E embedding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from tclip.data.eval_sets import EvalSample, EvalSet
from tclip.data.prefetch import prefetch
from tclip.evaluate.classifiers import kept_classifier
from tclip.evaluate.encoder import batched, embed, embed_all_texts
from tclip.evaluate.subject import Subject
from tclip.progress import Progress

THUMB = 160  # pixels, the longer side
QUALITY = 85  # of JPEG
Rankings = dict[str, Int[Tensor, "Q N"]]


@dataclass(frozen=True)
class Searched:
    """What models find in one evaluation set.

    Attributes:
        name: of the set.
        queries: the texts.
        images: small copies of its images.
        about: what each image shows, in words.
        right: the images that each query describes.
        rankings: all images for each query, best first, by form.
    """

    name: str
    queries: list[str]
    images: list[Image.Image]
    about: list[str]
    right: list[frozenset[int]]
    rankings: Rankings


def search_set(
    eval_set: EvalSet, subjects: Sequence[Subject], *, limit: int, batch_size: int, progress: Progress
) -> Searched:
    """Let models rank the images of a set for each of its queries.

    Args:
        eval_set: the set.
        subjects: the models.
        limit: only the first so many images.
        batch_size: images, or texts, at a time.
        progress: who is told.

    Raises:
        DataError: an image is broken.
        ModelError: a model cannot be loaded, or its embeddings are not finite.
    """
    progress.begin(f"look for queries of {eval_set.name}", limit)
    images, samples = list[Image.Image](), list[EvalSample]()
    embeddings: dict[str, list[Tensor]] = {subject.form: [] for subject in subjects}
    for batch, decoded in prefetch(_decoded(eval_set, limit, batch_size)):
        for subject in subjects:
            embeddings[subject.form].append(embed(subject.encoder.embed_images, decoded))
        images += map(_small, decoded)
        samples += batch
        progress.update(len(samples))
    queries, about, right = _meanings(eval_set, samples)
    asked = [number for number, images_of in enumerate(right) if images_of]
    rankings = {
        subject.form: rank_images(
            _queries_embedded(eval_set, samples, subject, batch_size)[asked],
            torch.cat(embeddings[subject.form]),
        )
        for subject in subjects
    }
    return Searched(
        eval_set.name,
        [queries[number] for number in asked],
        images,
        about,
        [right[number] for number in asked],
        rankings,
    )


def rank_images(query_QE: Float[Tensor, "Q E"], image_NE: Float[Tensor, "N E"]) -> Int[Tensor, "Q N"]:
    """Return for each query the indices of all images, best first; of equal ones the first comes first."""
    return torch.argsort(query_QE @ image_NE.T, dim=1, descending=True, stable=True)


def average_overlap(first_QK: Int[Tensor, "Q K"], second_QK: Int[Tensor, "Q K"]) -> Float[Tensor, "Q"]:
    """Return how alike two rankings begin: 1 for the same images in the same order, 0 for none in common.

    The mean over depths d = 1 ... K of the share of images that both have among their first d (Fagin et al.,
    2003; "average overlap" in Webber et al., 2010, section 2.4).
    """
    same_QKK = first_QK[:, :, None] == second_QK[:, None, :]
    common_QK = same_QKK.long().cumsum(dim=1).cumsum(dim=2).diagonal(dim1=1, dim2=2)
    depth_K = torch.arange(1, first_QK.shape[1] + 1)
    return (common_QK / depth_K).mean(dim=1)


def choose(overlap_Q: Float[Tensor, "Q"], num: int) -> tuple[list[int], list[int]]:
    """Return up to `num` queries: half of them those with the largest overlap, then those with the smallest.

    Equal ones are taken in stored order; no query is in both halves.
    """
    num = min(num, len(overlap_Q))
    alike = torch.argsort(overlap_Q, descending=True, stable=True)[: num // 2].tolist()
    rest = [query for query in torch.argsort(overlap_Q, stable=True).tolist() if query not in alike]
    return alike, rest[: num - len(alike)]


def jpeg(image: Image.Image) -> bytes:
    """Return a small image as JPEG."""
    written = BytesIO()
    image.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def _decoded(
    eval_set: EvalSet, limit: int, batch_size: int
) -> Iterator[tuple[list[EvalSample], list[Image.Image]]]:
    for batch in batched(islice(eval_set, limit), batch_size):
        yield [sample.without_image() for sample in batch], [sample.image() for sample in batch]


def _small(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((THUMB, THUMB))
    return small


def _queries_embedded(
    eval_set: EvalSet, samples: Sequence[EvalSample], subject: Subject, batch_size: int
) -> Float[Tensor, "Q E"]:
    if eval_set.classnames:
        prompts = [eval_set.prompts(index) for index in range(len(eval_set.classnames))]
        return kept_classifier(subject.encoder, prompts, subject.weights, batch_size)[0]
    return embed_all_texts(subject.encoder, [sample.captions[0] for sample in samples], batch_size)


def _meanings(
    eval_set: EvalSet, samples: Sequence[EvalSample]
) -> tuple[list[str], list[str], list[frozenset[int]]]:
    """Return the texts, what each image shows, and the images that are right for each text."""
    names = eval_set.classnames
    if not names:
        captions = [sample.captions[0] for sample in samples]
        return captions, captions, [frozenset({index}) for index in range(len(samples))]
    about = [", ".join(names[index] for index in sample.classes) for sample in samples]
    shown = [set(sample.classes) for sample in samples]
    right = [
        frozenset(index for index, classes in enumerate(shown) if number in classes)
        for number in range(len(names))
    ]
    return list(names), about, right
