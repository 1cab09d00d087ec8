"""Finding pictures by a text.

E embedding, N pictures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tclip.errors import DataError
from tclip.progress import Progress
from tclip.runtime.clip import RuntimeClip
from tclip.runtime.gallery import Gallery, embed_folder, store_beside


@dataclass(frozen=True)
class Hit:
    """One picture that was found.

    Attributes:
        path: of the picture.
        score: cosine of its embedding and the query's.
    """

    path: Path
    score: float


def search_folder(
    clip: RuntimeClip, folder: Path, query: str, top: int, progress: Progress
) -> tuple[list[Hit], Gallery]:
    """Return the pictures of a folder that fit a text best, and the whole gallery.

    Args:
        clip: with both towers.
        folder: of the pictures; their embeddings are kept beside it.
        query: what they should show.
        top: how many to return at most.
        progress: told about embedding.

    Raises:
        DataError: an empty query, no such folder, or one without pictures.
    """
    if not query.strip():
        raise DataError("The query is empty: say what the pictures should show.")
    query_E = clip.encode_text(query)[0]
    gallery = embed_folder(clip, folder, store_beside(folder, clip.identity), progress)
    score_N = gallery.vector_NE @ query_E
    best = np.argsort(-score_N, kind="stable")[:top]
    return [Hit(folder / gallery.paths[index], float(score_N[index])) for index in best], gallery
