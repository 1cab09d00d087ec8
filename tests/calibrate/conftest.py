"""Tiny models of every family with pairs of pictures and texts, shared by these tests; not to be changed."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from PIL import Image

from tclip.calibrate.calibrate import Pairs
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tclip.models.sites import Plan, find_sites, plan_ternarization
from tclip.recipe.quantize import Quantize
from tests.data.making import picture

WORDS = ("a", "two", "red", "blue", "dog", "cat", "birds", "on", "grass", "sea", "the", "runs")


@dataclass(frozen=True)
class Tiny:
    """A model, what becomes of it, and pairs in chunks of unequal length."""

    clip: Clip
    plan: Plan
    pairs: Pairs
    unseen: Pairs

    def copy(self) -> Clip:
        return copy.deepcopy(self.clip)


def picture_of(index: int) -> Image.Image:
    return Image.open(io.BytesIO(picture(index, "PNG")))


def text_of(index: int) -> str:
    length = 2 + index * 5 % 7
    return " ".join(WORDS[(index * 7 + word * (index % 5 + 1)) % len(WORDS)] for word in range(length))


def pairs_of(clip: Clip, indices: range, size: int) -> Pairs:
    chunks = [indices[start : start + size] for start in range(0, len(indices), size)]
    return Pairs(
        [clip.preprocess([picture_of(i) for i in chunk]) for chunk in chunks],
        [clip.tokenize([text_of(i) for i in chunk]) for chunk in chunks],
    )


@pytest.fixture(scope="session")
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[[str], Tiny]:
    """tiny(family): its model, loaded once."""

    @lru_cache
    def make(family: str = "clip") -> Tiny:
        clip = load_dense(str(tiny_folder(family)))
        plan = plan_ternarization(find_sites(clip.model), Quantize())
        return Tiny(clip, plan, pairs_of(clip, range(40), 16), pairs_of(clip, range(40, 52), 16))

    return make


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in a fixed order, and no threads that fight over small matrices."""
    torch.set_num_threads(1)
