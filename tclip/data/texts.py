"""Texts alone, for the text tower to learn from: lines of files, or prompts of the model's own words.

A tower that is distilled needs no images, and text is free. What a narrow set of captions does not mention
is forgotten, unless other texts ask for it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tclip.data.sample import derived, lines
from tclip.errors import DataError

WORDS = "words"  # the name of the source that needs no file
SHORTEST = 3  # letters of a word
COMPOUNDS = 0.25  # share of words made of two, so that pieces of words are seen too
PROMPTS = (
    "a photo of a {}",
    "a photo of the {}",
    "a photo of {}",
    "a good photo of a {}",
    "a close-up photo of a {}",
    "a picture of a {}",
    "a drawing of a {}",
    "a photo of a {}, a type of {}",
    "a photo of a {} {}",
    "a {} and a {}",
    "a {} with a {}",
    "a {} on the {}",
    "the {} of a {}",
    "two {} in a {}",
    "a {} {} next to a {}",
    "{}",
    "{} {}",
)
TextSource = Callable[[Random], str]


class TextStream:
    """An endless sequence of texts, shared out among processes as the pairs are.

    The text at a position is always the same; it comes from any of the sources, all of them equally often.
    """

    def __init__(
        self, sources: Sequence[TextSource], *, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if not sources:
            raise DataError(f'No texts are given: name a .txt file in data.texts, or "{WORDS}".')
        self._sources = list(sources)
        self._seed = seed
        self._rank = rank
        self._world_size = world_size

    def batch(self, index: int, size: int) -> list[str]:
        """Return this process's `size` texts of global batch `index`."""
        first = (index * self._world_size + self._rank) * size
        return [self._text(first + place) for place in range(size)]

    def _text(self, position: int) -> str:
        rng = derived("text", self._seed, position)
        return rng.choice(self._sources)(rng)


def open_texts(spec: str, tokenizer: Any) -> TextSource:
    """Open a source of texts.

    Args:
        spec: a text file with one text a line, or "words": prompts made of the tokenizer's own words.
        tokenizer: of the model.

    Raises:
        DataError: there is no such file, it is not UTF-8, or it holds no text.
    """
    if spec == WORDS:
        return Words(vocabulary_words(tokenizer))
    path = Path(spec).expanduser()
    try:
        texts = lines(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}): give one text a line.") from error
    except OSError as error:
        raise DataError(
            f'Cannot read the texts {path} ({error.strerror}): give a file, or "{WORDS}".'
        ) from error
    if not texts:
        raise DataError(f"{path} holds no text: give one text a line.")
    return lambda rng: rng.choice(texts)


class Words:
    """Prompts about random words: nonsense to people, but every word's own meaning is in it."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __call__(self, rng: Random) -> str:
        """Return a prompt."""
        prompt = rng.choice(PROMPTS)
        return prompt.format(*(self._word(rng) for _ in range(prompt.count("{}"))))

    def _word(self, rng: Random) -> str:
        word = rng.choice(self._words)
        return word if rng.random() >= COMPOUNDS else rng.choice(self._words) + word


def vocabulary_words(tokenizer: Any) -> tuple[str, ...]:
    """Return the words that a tokenizer knows whole: letters alone, one token each, sorted.

    Raises:
        DataError: it knows none, as one of single bytes would.
    """
    ids = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    found = {text.strip() for text in tokenizer.batch_decode([[each] for each in ids])}
    texts = sorted(text for text in found if len(text) >= SHORTEST and text.isalpha())
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    words = tuple(text for text, ids in zip(texts, encoded, strict=True) if len(ids) == 1)
    if not words:
        raise DataError(
            f'The tokenizer of this model knows no whole words: give text files in data.texts, not "{WORDS}".'
        )
    return words
