"""Inputs of the student's and, where it sees images or texts otherwise, of the teacher's own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tclip.models.clip import Clip, Inputs
from tclip.models.preprocessor import Preprocessor, in_parts


def same_inputs(one: Clip, other: Clip) -> tuple[bool, bool]:
    """Return whether two models see an image as the same pixels, and a text as the same tokens."""
    pixels = one.image_processor.to_dict() == other.image_processor.to_dict()
    tokens = (
        one.family == other.family
        and one.tokenizer.get_vocab() == other.tokenizer.get_vocab()
        and one.tokenizer.model_max_length == other.tokenizer.model_max_length
    )
    return pixels, tokens


@dataclass(frozen=True)
class BothImages:
    """Prepares images for the student and, under names that begin with "teacher/", for the teacher."""

    student: Preprocessor
    teacher: Preprocessor

    def __call__(self, images: Iterable[Image.Image]) -> Inputs:
        """Return both models' inputs of the same images, which are taken as they are needed."""
        return in_parts(lambda few: _both(self.student(few), self.teacher(few)), images)


@dataclass(frozen=True)
class BothTexts:
    """Prepares texts for the student and, under names that begin with "teacher/", for the teacher."""

    student: Callable[..., Inputs]
    teacher: Callable[..., Inputs]

    def __call__(self, texts: list[str], **options: Any) -> Inputs:
        """Return both models' inputs of the same texts."""
        return _both(self.student(texts, **options), self.teacher(texts, **options))


def _both(student: Inputs, teacher: Inputs) -> Inputs:
    return student | {f"teacher/{name}": x for name, x in teacher.items()}
