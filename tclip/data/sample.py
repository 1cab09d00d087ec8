"""What every source of pairs yields: still encoded images with their captions, shard by shard."""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

from tclip.errors import DataError

LOOKED_AT = 16  # samples in which a check must find a pair


@dataclass(frozen=True)
class Sample:
    """One image, still encoded, and what is said of it.

    `key` is unique within its source and the same in every run. Empty `image_bytes` or `captions`
    mean that the source has the one without the other; `screen.flaw` names such samples. Where a `maker`
    is named, what it makes of the image is to be seen (made.py).
    """

    key: str
    image_bytes: bytes
    captions: tuple[str, ...]
    maker: str | None = None


@runtime_checkable  # for the shape-and-type checks of the tests
class Shard(Protocol):
    """A part of a source that is read front to back; iterating twice gives the same samples.

    One that knows about how many they are says so as Python's own iterables do: `__len__`, `__length_hint__`.
    """

    @property
    def name(self) -> str:
        """Name of the shard within its source."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples, always in the same order; raise DataError if they cannot be read."""


class PairSource(ABC):
    """Image-text pairs from one place; `spec` is what the user wrote, `name` is short and for people."""

    spec: str
    name: str

    @abstractmethod
    def shards(self) -> Sequence[Shard]:
        """Return the shards in a fixed order; there is at least one."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hex hash that changes when the data change: a key for caches."""

    def check(self) -> None:
        """Read the first few samples only: are the data there, open to us, and pairs?

        Raises:
            DataError: nothing is there, it cannot be read, or it holds no pair.
        """
        first = list(islice(self, LOOKED_AT))
        if not first:
            raise DataError(f'"{self.spec}" holds no images: give data with image-text pairs.')
        if not any(sample.image_bytes and sample.captions for sample in first):
            missing = "caption" if first[0].image_bytes else "image"
            raise DataError(
                f'"{self.spec}": none of its first {len(first)} samples is a pair; '
                f"{first[0].key} has no {missing}."
            )

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample once, shard by shard."""
        for shard in self.shards():
            yield from shard


def digest(*parts: object) -> str:
    """Return 32 hex digits that depend on every part and on nothing else (BLAKE2b, 128 bits)."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def derived(*parts: object) -> random.Random:
    """Return a random generator seeded by the parts: the same on every machine and in every process."""
    return random.Random(int(digest(*parts), 16))


def lines(text: str) -> tuple[str, ...]:
    """Return the lines that are not blank, without surrounding white space."""
    return tuple(stripped for line in text.splitlines() if (stripped := line.strip()))
