"""Image-text pairs of a recipe, prepared for both towers of a model."""

from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from tclip.calibrate.calibrate import Pairs
from tclip.data.captioned import pair_sources
from tclip.data.images import image_sources
from tclip.data.loader import iter_images, iter_pairs
from tclip.data.sample import PairSource
from tclip.data.texts import TextStream, open_texts
from tclip.errors import DataError
from tclip.models.clip import Clip, Inputs
from tclip.models.preprocessor import joined
from tclip.recipe.schema import Recipe


def read_pairs(recipe: Recipe, clip: Clip, wanted: int, unseen: int) -> tuple[Pairs, Pairs]:
    """Return pairs of a recipe's data: so many to calibrate on, and others to measure on.

    Beside the former are calibrate.extra_images images and calibrate.extra_texts texts of no pair. What is
    drawn of all that the sources hold goes by calibrate.seed. Where there are fewer pairs than both parts
    want together, each has its share, and at least one.

    Raises:
        DataError: the data cannot be read, or hold fewer than two pairs.
    """
    data = recipe.data
    specs = data.calibrate or data.train
    sources = pair_sources(specs, data.split, data.captions, clip.tokenizer)
    texts = list[str]()
    # prepared as they are decoded: a thousand photographs would not fit into memory
    drawn = iter_pairs(sources, wanted + unseen, recipe.calibrate.seed)
    images = clip.preprocess(_images(drawn, texts))
    if len(texts) < 2:
        raise DataError(
            f"{', '.join(specs)} hold {len(texts)} image-text pairs: calibration needs 2 at least."
        )
    seen = min(wanted, len(texts) - max(1, len(texts) * unseen // (wanted + unseen)))
    more_images, more_texts = _extra_images(recipe, clip), _extra_texts(recipe, clip)
    return (
        _chunked(recipe, clip, [_rows(images, slice(seen)), *more_images], texts[:seen] + more_texts),
        _chunked(recipe, clip, [_rows(images, slice(seen, None))], texts[seen:]),
    )


def check_extras(recipe: Recipe, clip: Clip) -> None:
    """Look at what training will want beside its pairs: calibration takes minutes to get there.

    Raises:
        DataError: a source of images holds none or cannot be read; a file of texts likewise.
    """
    for source in _image_sources(recipe):
        if next(iter(source), None) is None:
            raise DataError(f'"{source.spec}" of data.images holds no images in {recipe.data.split}.')
    for spec in recipe.data.texts:
        open_texts(spec, clip.tokenizer)


def _images(pairs: Iterable[tuple[Image.Image, str]], texts: list[str]) -> Iterator[Image.Image]:
    """Yield the images of pairs; their texts are added to a list."""
    for image, text in pairs:
        texts.append(text)
        yield image


def _extra_images(recipe: Recipe, clip: Clip) -> list[Inputs]:
    settings = recipe.calibrate
    if not settings.extra_images:
        return []
    return [clip.preprocess(iter_images(_image_sources(recipe), settings.extra_images, settings.seed))]


def _image_sources(recipe: Recipe) -> list[PairSource]:
    data = recipe.data
    return image_sources(data.images, data.calibrate or data.train, data.split)


def _extra_texts(recipe: Recipe, clip: Clip) -> list[str]:
    settings = recipe.calibrate
    if not settings.extra_texts:
        return []
    sources = [open_texts(spec, clip.tokenizer) for spec in recipe.data.texts]
    return TextStream(sources, seed=settings.seed).batch(0, settings.extra_texts)


def _chunked(recipe: Recipe, clip: Clip, images: Sequence[Inputs], texts: Sequence[str]) -> Pairs:
    size, tokens = recipe.calibrate.batch_size, recipe.data.text_tokens
    joint = joined(images)  # copies: chunks of what was prepared would keep all of it
    num_images = len(next(iter(joint.values())))
    return Pairs(
        [_rows(joint, part) for part in _slices(num_images, size)],
        [clip.tokenize(list(texts[part]), max_tokens=tokens) for part in _slices(len(texts), size)],
    )


def _rows(inputs: Inputs, part: slice) -> Inputs:
    return {name: x[part] for name, x in inputs.items()}


def _slices(num: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, num, size)]
