"""Reading a tar shard front to back: neighbouring members of one key are one sample.

Members are read into memory and never written to paths, so a name such as `../../x` harms nothing;
links and devices are passed over. `webdataset` groups the same way, but opens its own addresses,
among them `pipe:COMMAND`, which runs a command: only streams that we opened come here.
"""

import logging
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from tarfile import (  # type: ignore[attr-defined]  # typeshed lacks some
    EmptyHeaderError,
    EOFHeaderError,
    HeaderError,
    ReadError,
    TruncatedHeaderError,
)
from typing import BinaryIO, cast

from tclip.data.folders import Folder, Readable
from tclip.errors import DataError

IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
MAX_MEMBER = 256 << 20  # bytes; no photograph is so large, and a header may claim anything

log = logging.getLogger("tclip.data")


@dataclass(frozen=True)
class Group:
    """The members of one key: their bytes by extension (lower case, from the first dot on)."""

    key: str
    members: dict[str, bytes]

    @property
    def image(self) -> bytes:
        """The first image member, or b"" if there is none."""
        return next((data for ext, data in self.members.items() if ext in IMAGES), b"")


def read_groups(folder: Folder, name: str) -> Iterator[Group]:
    """Yield the samples of a tar shard in stored order, with keys `SHARD[ORDINAL]/MEMBER`.

    The ordinal makes keys unique even where a shard repeats a name, without remembering names.

    Raises:
        DataError: the shard cannot be opened, or is no tar or a damaged one.
    """
    with folder.open(name) as stream:
        try:
            for ordinal, (key, members) in enumerate(_grouped(_members(stream))):
                yield Group(f"{name}[{ordinal}]/{key}", members)
        except (tarfile.TarError, EOFError, zlib.error, LZMAError) as error:
            raise DataError(
                f"{folder.where}/{name} is no tar file or a damaged one ({error}): fetch or make it again."
            ) from error


def split_name(name: str) -> tuple[str, str]:
    """Split `a/b.seg.png` into key `a/b` and extension `seg.png`; the key is empty for hidden files."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (folder + slash + stem if stem else "", extension.lower())


class _Header(tarfile.TarInfo):
    """A header that must be whole: tarfile takes a damaged one, or none at all, for the end of the archive.

    Only a block of zeros is one. What lacks it was cut off, and who knows how many samples with it.
    """

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        """Read the next header.

        Raises:
            HeaderError: it is the block of zeros that ends an archive.
            ReadError: it is damaged, or the file ends where it should stand.
        """
        try:
            return super().fromtarfile(tar)
        except EOFHeaderError:
            raise
        except (EmptyHeaderError, TruncatedHeaderError) as error:
            raise ReadError(
                f"it breaks off at byte {tar.offset} without the zeros that end a tar, as after a download "
                "that was cut short or a writer that was not closed"
            ) from error
        except HeaderError as error:
            raise ReadError(f"what stands at byte {tar.offset} is no header of a tar") from error


def _members(stream: Readable) -> Iterator[tuple[str, bytes]]:
    file = cast(BinaryIO, stream)
    with tarfile.open(fileobj=file, mode="r|*", bufsize=1 << 16, tarinfo=_Header) as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
            if not info.isreg():
                continue
            if info.size > MAX_MEMBER:
                log.warning(
                    "passed over %s: %d bytes are more than the %d allowed", info.name, info.size, MAX_MEMBER
                )
                continue
            content = tar.extractfile(info)
            assert content is not None  # only None for what is no regular file
            yield info.name, content.read()
        _refuse_rest(tar)


def _refuse_rest(tar: tarfile.TarFile) -> None:
    # Two tars one behind the other would pass for the first: only zeros may follow the end.
    rest = tar.fileobj
    assert rest is not None
    while block := rest.read(1 << 16):
        if any(block):
            raise ReadError(f"data follow the end of the archive near byte {tar.offset}")


def _grouped(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    current, group = "", dict[str, bytes]()
    for name, data in members:
        key, extension = split_name(name)
        if not key:
            continue
        if group and (key != current or extension in group):
            yield current, group
            group = {}
        current = key
        group[extension] = data
    if group:
        yield current, group
