"""Fixed random crops: view k of an image is the same crop in every epoch, process and run.

So a teacher's embedding kept for (key, view) is the embedding of the very pixels the student sees.
"""

import math
import random

from PIL import Image

from tclip.data.sample import derived

ASPECT = (3 / 4, 4 / 3)  # width to height of a crop, as in Inception's training (Szegedy et al., 2015)
TRIES = 10


def view(image: Image.Image, key: str, index: int, *, views: int, seed: int, min_crop: float) -> Image.Image:
    """Return view `index` of an image.

    With one view it is the image itself. With several each is a random resized crop, square, at about
    the crop's own resolution, flipped left to right for half of them.

    Args:
        image: RGB.
        key: of the sample; crop and flip depend on (seed, key, index) and the image's size only.
        index: 0 <= index < views.
        views: how many views an image has.
        seed: of the run.
        min_crop: the least area of a crop as a share of the image, in (0, 1].
    """
    if not 0 <= index < views:
        raise ValueError(f"view {index} of {views}")
    if views == 1:
        return image
    rng = derived("view", seed, key, index)
    left, top, width, height = _crop(image.width, image.height, min_crop, rng)
    side = max(1, round(math.sqrt(width * height)))
    box = (left, top, left + width, top + height)
    square = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else square


def _crop(width: int, height: int, min_crop: float, rng: random.Random) -> tuple[int, int, int, int]:
    for _ in range(TRIES):
        area = width * height * rng.uniform(min_crop, 1.0)
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = rng.randint(0, width - crop_width), rng.randint(0, height - crop_height)
            return left, top, crop_width, crop_height
    # No such crop fits a very long image: the whole of it, trimmed to the widest aspect allowed.
    crop_width, crop_height = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    crop_width, crop_height = max(1, crop_width), max(1, crop_height)
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height
