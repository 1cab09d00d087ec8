"""Zero-shot classifiers kept on disk: one belongs to the weights and the texts that it was made of.

C classes, E embedding.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from tclip.cache import cache_folder, cache_key
from tclip.errors import first_line
from tclip.evaluate.encoder import EMBEDDING_VERSION, Encoder
from tclip.evaluate.zeroshot import build_classifier
from tclip.run import write_whole

NAME = "classifier"

log = logging.getLogger("tclip.evaluate")


def kept_classifier(
    encoder: Encoder, prompts: Sequence[Sequence[str]], weights: str, batch_size: int
) -> tuple[Float[Tensor, "C E"], dict[str, float]]:
    """Return one vector a class, from the cache where it is known; where not, also texts_per_second.

    A cache that cannot be read or written is told in the log, and harms nothing.

    Args:
        encoder: embeds the prompts.
        prompts: the texts of every class, at least one each.
        weights: identifies the encoder; "": nothing is kept.
        batch_size: texts at a time.
    """
    key = cache_key(weights=weights, prompts=list(prompts), embedding_version=EMBEDDING_VERSION)
    path = cache_folder() / "classifiers" / f"{key}.safetensors"
    kept_CE = _read(path) if weights else None
    if kept_CE is not None:
        return kept_CE, {}
    began = time.monotonic()
    classifier_CE = build_classifier(encoder, prompts, batch_size)
    throughput = {"texts_per_second": sum(map(len, prompts)) / (time.monotonic() - began)}
    if weights:
        _write(classifier_CE, path)
    return classifier_CE, throughput


def _read(path: Path) -> Float[Tensor, "C E"] | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)[NAME]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SafetensorError, KeyError) as error:
        log.warning("the kept classifier %s cannot be read (%s): it is made again", path, first_line(error))
        return None


def _write(classifier_CE: Float[Tensor, "C E"], path: Path) -> None:
    from safetensors.torch import save

    try:
        write_whole(path, save({NAME: classifier_CE.contiguous()}))
    except OSError as error:
        log.warning(
            "the classifier is not kept for the next time, %s cannot be written (%s): name another folder in "
            "TCLIP_CACHE",
            path.parent,
            first_line(error),
        )
