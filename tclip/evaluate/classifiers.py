"""Zero-shot classifiers kept on disk: one belongs to the weights and the texts that it was made of.

C classes, E embedding.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from tclip.cache import cache_folder, cache_key
from tclip.errors import DataError, first_line
from tclip.evaluate.encoder import Encoder
from tclip.evaluate.zeroshot import build_classifier
from tclip.run import write_whole

NAME = "classifier"


def kept_classifier(
    encoder: Encoder, prompts: Sequence[Sequence[str]], weights: str, batch_size: int
) -> tuple[Float[Tensor, "C E"], dict[str, float]]:
    """Return one vector a class, from the cache where it is known; where not, also texts_per_second.

    Args:
        encoder: embeds the prompts.
        prompts: the texts of every class, at least one each.
        weights: identifies the encoder; "": nothing is kept.
        batch_size: texts at a time.

    Raises:
        DataError: the cache cannot be read or written.
    """
    path = cache_folder() / "classifiers" / f"{cache_key(weights=weights, prompts=list(prompts))}.safetensors"
    if weights and path.is_file():
        return _read(path), {}
    began = time.monotonic()
    classifier_CE = build_classifier(encoder, prompts, batch_size)
    throughput = {"texts_per_second": sum(map(len, prompts)) / (time.monotonic() - began)}
    if weights:
        _write(classifier_CE, path)
    return classifier_CE, throughput


def _read(path: Path) -> Float[Tensor, "C E"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)[NAME]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"The kept classifier {path} is damaged ({first_line(error)}): delete it.") from error


def _write(classifier_CE: Float[Tensor, "C E"], path: Path) -> None:
    from safetensors.torch import save

    try:
        write_whole(path, save({NAME: classifier_CE.contiguous()}))
    except OSError as error:
        raise DataError(
            f"The classifier cannot be kept in {path.parent} ({first_line(error)}): name another folder in "
            "TCLIP_CACHE."
        ) from error
