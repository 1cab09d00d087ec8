"""The parity gate: do the exported files answer as the torch model does, on real images and texts?

B batch, L texts, E embedding.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tclip.errors import ParityError
from tclip.export.locate import Parting, locate
from tclip.export.onnx import IMAGE_FILE, JOINT_FILE, TEXT_FILE
from tclip.export.pixels import PIXELS
from tclip.export.ranking import distinct_texts, same_first
from tclip.export.session import open_session, run
from tclip.models.clip import Clip, Inputs
from tclip.recipe.schema import Onnx

BATCH = 16
TIMED_RUNS = 5
# Both compute the same in the same way; only the order of float sums may differ.
LOGIT_TOLERANCE = 1e-2


@dataclass(frozen=True)
class TowerParity:
    """How one encoder's file compares with its torch model.

    Attributes:
        mean_cosine: of the embeddings of the same inputs, in [-1, 1].
        min_cosine: the worst of them.
        start_seconds: what a session took to start, weights unpacked.
        milliseconds: one input through the session, median.
    """

    mean_cosine: float
    min_cosine: float
    start_seconds: float
    milliseconds: float


@dataclass(frozen=True)
class ParityReport:
    """How exported files compare with their torch model.

    Attributes:
        image, text: the encoders.
        agreement: share of images for which both rank the same text first; None: there is one text alone.
        num_images, num_texts: what was compared; texts that are the same count once.
    """

    image: TowerParity
    text: TowerParity
    agreement: float | None
    num_images: int
    num_texts: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Batch:
    """Some images or texts as the model takes them, and as the file does."""

    inputs: Inputs
    fed: Inputs


@torch.no_grad()
def check_parity(
    clip: Clip, folder: Path, images: list[Image.Image], texts: list[str], settings: Onnx
) -> ParityReport:
    """Run exported files in ONNX Runtime (CPU) beside the torch model.

    Args:
        clip: what was exported.
        folder: of export_onnx.
        images: real images, at least one.
        texts: real texts, at least one.
        settings: the limits, and whether there is a joint file.

    Raises:
        ParityError: a mean cosine, the agreement or the joint file's logits are beyond the limits; the
            message names the tower and the first layer at which the two part.
    """
    image_batches = [
        _image_batch(clip, images[i : i + BATCH], settings) for i in range(0, len(images), BATCH)
    ]
    texts = distinct_texts(texts, clip.tokenize)
    text_batches = [_text_batch(clip, texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
    image, image_BE, image_onnx_BE = _compare(clip.embed_images, folder / IMAGE_FILE, image_batches)
    text, text_LE, text_onnx_LE = _compare(clip.embed_texts, folder / TEXT_FILE, text_batches)
    agreement = same_first((image_onnx_BE, text_onnx_LE), (image_BE, text_LE))
    report = ParityReport(image, text, agreement, len(images), len(texts))
    problems = [
        *_tower_problems(clip, folder / IMAGE_FILE, image_batches[0], image, settings),
        *_tower_problems(clip, folder / TEXT_FILE, text_batches[0], text, settings),
        *_agreement_problems(report, settings),
    ]
    if settings.joint and not problems:
        problems = _joint_problems(clip, folder, image_batches[0].fed, text_batches[0].fed)
    if problems:
        raise ParityError(
            f"The ONNX files do not answer as {clip.source.id} does: {'; '.join(problems)}. "
            "Export with activations float, or lower export.onnx.min_cosine and min_agreement."
        )
    return report


def _image_batch(clip: Clip, images: list[Image.Image], settings: Onnx) -> _Batch:
    inputs = clip.preprocess(images)
    return _Batch(inputs, {PIXELS: clip.pixels(images)} if settings.pixels == "uint8" else inputs)


def _text_batch(clip: Clip, texts: list[str]) -> _Batch:
    inputs = clip.tokenize(texts)
    return _Batch(inputs, inputs)


def _compare(
    embed: Callable[[Inputs], Tensor], path: Path, batches: list[_Batch]
) -> tuple[TowerParity, Float[Tensor, "B E"], Float[Tensor, "B E"]]:
    began = time.perf_counter()
    session = open_session(path)
    start_seconds = time.perf_counter() - began
    expected_BE = torch.cat([embed(batch.inputs).cpu() for batch in batches])
    found_BE = torch.cat([torch.from_numpy(run(session, batch.fed)[0]) for batch in batches])
    cosine_B = torch.nn.functional.cosine_similarity(expected_BE, found_BE)
    # NaN must fail, and it passes every "<".
    cosine_B = torch.nan_to_num(cosine_B, nan=-1.0)
    milliseconds = _milliseconds(session, {name: tensor[:1] for name, tensor in batches[0].fed.items()})
    parity = TowerParity(float(cosine_B.mean()), float(cosine_B.min()), start_seconds, milliseconds)
    return parity, expected_BE, found_BE


def _milliseconds(session: Any, inputs: Inputs) -> float:
    times = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        run(session, inputs)
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def _tower_problems(clip: Clip, path: Path, batch: _Batch, parity: TowerParity, settings: Onnx) -> list[str]:
    if parity.mean_cosine >= settings.min_cosine:
        return []
    parting: Parting = locate(clip, path, batch.inputs, batch.fed, settings.min_cosine)
    return [
        f"{path.name} has mean cosine {parity.mean_cosine:.4f} (at least {settings.min_cosine}), {parting}"
    ]


def _agreement_problems(report: ParityReport, settings: Onnx) -> list[str]:
    if report.agreement is None or report.agreement >= settings.min_agreement:
        return []
    return [
        f"{report.agreement:.1%} of {report.num_images} images (at least {settings.min_agreement:.1%}) rank "
        f"the same of {report.num_texts} texts first, though the mean cosine of images is "
        f"{report.image.mean_cosine:.4f} and of texts {report.text.mean_cosine:.4f}"
    ]


def _joint_problems(clip: Clip, folder: Path, image: Inputs, text: Inputs) -> list[str]:
    """Compare the joint file with the two encoders' files."""
    image_BE, text_BE = (
        torch.from_numpy(run(open_session(folder / name), inputs)[0])
        for name, inputs in ((IMAGE_FILE, image), (TEXT_FILE, text))
    )
    expected = clip.logits(image_BE.to(clip.device), text_BE.to(clip.device)).cpu()
    session = open_session(folder / JOINT_FILE)
    found = torch.from_numpy(run(session, {**image, **text}, ["logits_per_image"])[0])
    furthest = float((expected - found).abs().max())
    if furthest <= LOGIT_TOLERANCE:
        return []
    return [f"{JOINT_FILE} has logits up to {furthest:.4f} away from those of the two encoders"]
