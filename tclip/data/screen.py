"""Which samples are broken, and when there are too many of them.

Every process must agree on what is skipped, or the processes would cut different batches out of the
same sequence. So `flaw` is a function of the sample's bytes alone and runs in every process on every
sample, before the sequence is shared out. A full decode there would cost each process the decoding of
all the others; so a file that opens and ends as its format demands passes, and only a file that does
not is decoded in full to decide. What passes and yet cannot be decoded (damage in the middle, rare)
is found by the one process that decodes it, and replaced: see `loader.py`.
"""

import logging
import math
from io import BytesIO

from PIL import Image

from tclip.data.sample import Sample
from tclip.errors import DataError, listed

log = logging.getLogger("tclip.data")

MAX_SHARE = 0.01  # of broken samples
MIN_SEEN = 100  # samples before a share means anything
MAX_NAMED = 20  # broken samples named in the log and in messages; the rest are counted
TAIL = 64  # bytes at the end in which an end marker may stand before padding


class BrokenImageError(DataError):
    """Bytes that are no image, or a damaged or monstrous one."""


def decode(image_bytes: bytes) -> Image.Image:
    """Return the image as RGB, as CLIP_benchmark reads it: EXIF rotation is not applied.

    Raises:
        BrokenImageError: it cannot be decoded whole, or has more pixels than PIL's limit (89 megapixels).
    """
    try:
        with Image.open(BytesIO(image_bytes)) as image:
            _refuse_bomb(image)
            return _to_rgb(image)
    except (
        Exception
    ) as error:  # PIL's plugins raise what they like on damaged files: it is all the file's fault
        raise BrokenImageError(f"{type(error).__name__}: {error}") from error


def flaw(sample: Sample, *, paired: bool = True) -> str | None:
    """Return what is wrong with a sample, or None; a function of its content alone.

    Args:
        sample: what is looked at.
        paired: whether it needs a caption.
    """
    if paired and not sample.captions:
        return "no caption"
    if not sample.image_bytes:
        return "no image"
    try:
        if not _ends_well(sample.image_bytes):
            decode(sample.image_bytes)
    except BrokenImageError as error:
        return str(error)
    return None


class Tally:
    """Counts samples and broken ones, names the broken in the log, and stops a run that has too many.

    While samples come, the share is judged with a margin of three standard errors, so that a few broken
    ones among the first hundred do not stop a run whose data are within the limit; at the end (`close`)
    it is judged as it is.
    """

    def __init__(self, what: str, quiet: bool = False) -> None:
        self.what = what
        self.quiet = quiet
        self.seen = 0
        self.broken = 0
        self.named: list[str] = []

    def good(self) -> None:
        """Count a sample that is as it should be."""
        self.seen += 1

    def bad(self, key: str, reason: str) -> None:
        """Count and name a broken sample.

        Raises:
            DataError: clearly more than 1 % of at least 100 samples are broken.
        """
        self.seen += 1
        self.broken += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(f"{key}: {reason}")
            if not self.quiet:
                log.warning("skipped %s: %s", key, reason)
        expected = MAX_SHARE * self.seen
        if self.seen >= MIN_SEEN and self.broken > expected + 3 * math.sqrt(expected):
            raise self._error()

    def close(self) -> None:
        """Judge the whole, and log how many were skipped.

        Raises:
            DataError: more than 1 % of the samples are broken.
        """
        if self.broken > MAX_SHARE * self.seen:
            raise self._error()
        if self.broken and not self.quiet:
            log.warning("%s: skipped %d of %d samples", self.what, self.broken, self.seen)

    def _error(self) -> DataError:
        return DataError(
            f"{self.what}: {self.broken} of {self.seen} samples are broken, more than {MAX_SHARE:.0%}: "
            f"mend or remove them, such as:{listed(self.named[:5])}"
        )


def _ends_well(image_bytes: bytes) -> bool:
    try:
        with Image.open(BytesIO(image_bytes)) as image:
            _refuse_bomb(image)
            form = image.format
    except Exception as error:
        raise BrokenImageError(f"{type(error).__name__}: {error}") from error
    if form == "JPEG":
        return b"\xff\xd9" in image_bytes[-TAIL:]
    if form == "PNG":
        return b"IEND" in image_bytes[-TAIL:]
    if form == "WEBP":
        return int.from_bytes(image_bytes[4:8], "little") + 8 <= len(image_bytes)
    return False


def _refuse_bomb(image: Image.Image) -> None:
    # PIL refuses only at twice its limit, and warns between: one limit for all, whatever the warning filters.
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise BrokenImageError(
            f"{image.width} x {image.height} pixels are more than {Image.MAX_IMAGE_PIXELS}"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the same colours, without PIL's warning
    return image.convert("RGB")
