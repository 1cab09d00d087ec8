"""Small parts of a pair's image: photographs of one kind show whole scenes, sharp; their parts show single
things, large and coarse, as other data sets do.
"""

import math

from PIL import Image

from tclip.data.sample import derived

AREA = (0.05, 0.4)  # of a part, as a share of the image
COARSE = 128  # pixels a side: at its coarsest a part is as sharp as a part of an image of this size


def crop(image: Image.Image, key: str, epoch: int) -> Image.Image:
    """Return a square part of an image, flipped left to right for half of them.

    Its resolution lies between its own and that of the same part of an image of 128 x 128 pixels.

    Args:
        image: RGB.
        key: of the sample; the part depends on (key, epoch) and the image's size only.
        epoch: another part in each.
    """
    rng = derived("crop", key, epoch)
    share = rng.uniform(*AREA)
    side = max(1, min(round(math.sqrt(share * image.width * image.height)), image.width, image.height))
    left, top = rng.randint(0, image.width - side), rng.randint(0, image.height - side)
    coarse = min(side, max(1, round(math.sqrt(share) * COARSE)))
    size = round(math.exp(rng.uniform(math.log(coarse), math.log(side))))
    box = (left, top, left + side, top + side)
    part = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part
