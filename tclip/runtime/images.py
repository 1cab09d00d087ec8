"""From pictures to the image tower's input: the same numbers, to the last bit, as transformers gives.

B batch, C channels, H height, W width.
"""

import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tclip.errors import DataError, ModelError, first_line, listed
from tclip.runtime.folder import read_json

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture = str | Path | bytes | Image

CONFIG_FILE = "preprocessor_config.json"
MOST_PIXELS = 89_478_485  # of a picture once resized: PIL's own limit for opening one
STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
# steps that transformers knows and that change pixels in ways that are not built here
FOREIGN_STEPS = ("do_pad", "do_flip_channel_order", "do_reduce_labels", "do_thumbnail", "do_align_long_axis")


class UnreadableError(DataError):
    """A picture that is missing, damaged, or none at all."""


@dataclass(frozen=True)
class ImageReader:
    """Turns pictures into pixels, as one model's preprocessor_config.json says.

    Attributes:
        resize: None, the length of the shortest edge, or (height, width).
        resample: PIL's number of the filter, 3 for bicubic.
        crop: None, or (height, width) cut from the centre; smaller pictures get black edges.
        factor: pixels are multiplied by it.
        mean: subtracted from each channel, or None.
        std: each channel is then divided by it, or None.
        num_threads: most pictures that are decoded at once.
    """

    resize: int | tuple[int, int] | None
    resample: int
    crop: tuple[int, int] | None
    factor: float
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    num_threads: int = 1

    def __call__(self, pictures: "Sequence[Picture]") -> np.ndarray:
        """Return float32 pixels [B, C, H, W] of paths, encoded bytes or PIL images of any mode.

        Transparent pixels become white.

        Raises:
            DataError: pictures that are missing or cannot be read, all of them named.
        """
        if len(pictures) == 1 or self.num_threads == 1:
            read = [self._read(picture) for picture in pictures]
        else:
            with ThreadPoolExecutor(min(self.num_threads, len(pictures) or 1)) as threads:
                read = list(threads.map(self._read, pictures))
        failures = [result for result in read if isinstance(result, str)]
        if failures:
            raise DataError(f"Give pictures that can be read; these cannot:{listed(failures)}")
        shape_HWC = next((image.shape for image in read if not isinstance(image, str)), (0, 0, 3))
        pixel_BHWC = np.stack(
            [image for image in read if not isinstance(image, str)] or [np.empty(shape_HWC)]
        )
        return self._normalised(pixel_BHWC[: len(pictures)])

    def try_each(self, pictures: "Sequence[Picture]") -> "list[np.ndarray | str]":
        """Return float32 pixels [C, H, W] of each picture, or one line that says why it cannot be read."""
        with ThreadPoolExecutor(min(self.num_threads, len(pictures) or 1)) as threads:
            read = list(threads.map(self._read, pictures))
        return [image if isinstance(image, str) else self._normalised(image[None])[0] for image in read]

    def _read(self, picture: "Picture") -> "np.ndarray | str":
        """Bytes [H, W, C] of one picture, resized and cropped; or what is wrong with it."""
        try:
            return self._decoded(picture)
        except UnreadableError as error:
            return f"{_name(picture)}: {error}"

    def _decoded(self, picture: "Picture") -> np.ndarray:
        from PIL import Image, UnidentifiedImageError

        try:
            if isinstance(picture, Image.Image):
                return self._fitted(picture)
            source = io.BytesIO(picture) if isinstance(picture, bytes) else Path(picture).expanduser()
            with Image.open(source) as image:
                return self._fitted(image)
        except UnidentifiedImageError as error:
            raise UnreadableError("no picture, or of an unknown format") from error
        except OSError as error:
            raise UnreadableError(error.strerror or first_line(error)) from error
        except Exception as error:  # PIL's plugins raise what they like on damaged files
            raise UnreadableError(first_line(error)) from error

    def _fitted(self, image: "Image") -> np.ndarray:
        rgb = _on_white(image)
        if self.resize is not None:
            height, width = self._target(rgb.height, rgb.width)
            if height * width > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too long and thin to be resized")
            rgb = rgb.resize((width, height), resample=self.resample)
        pixel_HWC = np.asarray(rgb)
        return pixel_HWC if self.crop is None else _cropped(pixel_HWC, *self.crop)

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize
        assert self.resize is not None
        short, long = sorted((height, width))
        longer = int(self.resize * long / short)
        return (longer, self.resize) if width <= height else (self.resize, longer)

    def _normalised(self, pixel_BHWC: np.ndarray) -> np.ndarray:
        byte_BCHW = np.ascontiguousarray(pixel_BHWC.transpose(0, 3, 1, 2))
        if self.mean is None or self.std is None:
            return (byte_BCHW.astype(np.float64) * self.factor).astype(np.float32)  # as transformers' rescale
        pixel_BCHW = byte_BCHW.astype(np.float32)
        pixel_BCHW *= np.float32(self.factor)
        pixel_BCHW -= np.array(self.mean, np.float32)[:, None, None]
        pixel_BCHW /= np.array(self.std, np.float32)[:, None, None]
        return pixel_BCHW


def image_reader(folder: Path, image_size: int, num_threads: int = 1) -> ImageReader:
    """Read FOLDER/preprocessor_config.json.

    Args:
        folder: of the model.
        image_size: side of the pictures that the image tower takes, in pixels.
        num_threads: most pictures that are decoded at once.

    Raises:
        ModelError: it is missing or damaged, has steps that are not known here, or makes pictures of
            another size.
    """
    path = folder / CONFIG_FILE
    config = read_json(path, "preprocessor")
    known = {step: bool(config.get(step, step != "do_center_crop")) for step in STEPS}
    foreign = [step for step in FOREIGN_STEPS if config.get(step)]
    if foreign:
        raise ModelError(
            f"{path} asks for {', '.join(foreign)}, which the runtime does not have: use it with torch."
        )
    try:
        resize = _size(config["size"]) if known["do_resize"] else None
        crop = _size(config["crop_size"]) if known["do_center_crop"] else None
        reader = ImageReader(
            resize=resize,
            resample=int(config.get("resample", 3)),
            crop=(crop, crop) if isinstance(crop, int) else crop,
            factor=float(config.get("rescale_factor", 1 / 255)) if known["do_rescale"] else 1.0,
            mean=_of_channels(config["image_mean"]) if known["do_normalize"] else None,
            std=_of_channels(config["image_std"]) if known["do_normalize"] else None,
            num_threads=num_threads,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} does not say how to prepare pictures ({error!r}): fetch or pack it again."
        ) from error
    made = reader.crop or reader.resize
    if made != (image_size, image_size):
        raise ModelError(
            f"{path} makes pictures of {made} pixels, but the image tower takes {image_size} x {image_size}: "
            "fetch both from the same revision."
        )
    return reader


def _size(size: Any) -> int | tuple[int, int]:
    """What transformers writes as a size: a number, the shortest edge, or height and width."""
    if isinstance(size, int):
        return size
    if set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise ValueError(f"the size {size}")


def _of_channels(values: Any) -> tuple[float, ...]:
    numbers = tuple(map(float, values))
    if len(numbers) != 3:
        raise ValueError(f"{len(numbers)} numbers for 3 channels")
    return numbers


def _on_white(image: "Image") -> "Image":
    from PIL import Image

    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")


def _cropped(pixel_HWC: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut from the centre; where the picture is smaller, black is put around it first."""
    padding = [(0, 0)] * 3
    for axis, wanted in enumerate((height, width)):
        missing = max(wanted - pixel_HWC.shape[axis], 0)
        padding[axis] = (math.ceil(missing / 2), missing // 2)
    padded_HWC = np.pad(pixel_HWC, padding) if any(map(sum, padding)) else pixel_HWC
    top, left = ((padded_HWC.shape[axis] - wanted) // 2 for axis, wanted in enumerate((height, width)))
    return padded_HWC[top : top + height, left : left + width]


def _name(picture: Any) -> str:
    return str(picture) if isinstance(picture, str | Path) else f"a picture given as {type(picture).__name__}"
