"""Do two forms of a model put the same text first? Asked only of texts that the text tower can tell apart.

Captions repeat where they are labels. Of two that are the same, the last bits of a sum decide which is first.

B images, L texts, E embedding.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from tclip.models.clip import Inputs


def distinct_texts(texts: list[str], tokenize: Callable[[list[str]], Inputs]) -> list[str]:
    """Return the texts with tokens of their own, the first of those that share them, in order.

    Texts share tokens if they are equal, or are so once the tokenizer has lower-cased and cut them.
    """
    firsts: dict[tuple[int, ...], str] = {}
    for text, ids in zip(texts, tokenize(texts)["input_ids"].tolist(), strict=True):
        firsts.setdefault(tuple(ids), text)
    return list(firsts.values())


def same_first(
    one: tuple[Float[Tensor, "B E"], Float[Tensor, "L E"]],
    other: tuple[Float[Tensor, "B E"], Float[Tensor, "L E"]],
) -> float | None:
    """Return the share of images for which two forms rank the same text first; None if there is one text.

    Args:
        one: its embeddings of images and of texts that differ.
        other: the other form's, of the same.
    """
    if len(one[1]) < 2:
        return None
    first_B, other_B = ((image_BE @ text_LE.T).argmax(1) for image_BE, text_LE in (one, other))
    return float((first_B == other_B).float().mean())


def compared_on(num_images: int, num_texts: int) -> str:
    """Say on what forms were compared."""
    texts = f"{num_texts} texts" if num_texts > 1 else "one text, which leaves nothing to rank"
    return f"{num_images} images and {texts}"
