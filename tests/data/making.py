"""Small data sets on disk, made by code."""

import io
import json
import random
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tclip.data.sample import PairSource, Sample


def picture(seed: int, form: str = "JPEG", size: tuple[int, int] = (24, 18)) -> bytes:
    """An image of random coloured blocks; the seed can be told from its pixels."""
    rng = random.Random(seed)
    small = Image.new("RGB", (4, 3))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(12)])
    out = io.BytesIO()
    small.resize(size, Image.Resampling.NEAREST).save(out, form)
    return out.getvalue()


def broken_inside(seed: int = 0) -> bytes:
    """A PNG that opens and ends as it should, and cannot be decoded."""
    data = bytearray(picture(seed, "PNG", (64, 48)))
    start = data.index(b"IDAT") + 8
    data[start : start + 20] = b"\xff" * 20
    return bytes(data)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pair_members(numbers: Iterable[int]) -> list[tuple[str, bytes]]:
    members = []
    for number in numbers:
        members.append((f"s{number:04d}.jpg", picture(number)))
        members.append((f"s{number:04d}.txt", f"picture {number}\nagain {number}".encode()))
    return members


def write_layout(root: Path, splits: dict[str, Sequence[Iterable[tuple[str, bytes]]]], **files: str) -> Path:
    """A CLIP_benchmark-layout folder: for each split the members of its shards; files by stem."""
    for split, shards in splits.items():
        for number, members in enumerate(shards):
            write_tar(root / split / f"{number}.tar", members)
        (root / split / "nshards.txt").write_text(f"{len(shards)}\n")
    for stem, text in files.items():
        (root / f"{stem}.txt").write_text(text)
    return root


def class_members(labels: Sequence[int], first: int = 0) -> list[tuple[str, bytes]]:
    members = []
    for number, label in enumerate(labels, first):
        members.append((f"s{number:04d}.png", picture(number, "PNG")))
        members.append((f"s{number:04d}.cls", str(label).encode()))
    return members


def multilabel_members(present: Sequence[Sequence[int]]) -> list[tuple[str, bytes]]:
    """Samples with a 0 or 1 for every class."""
    members = []
    for number, each in enumerate(present):
        out = io.BytesIO()
        np.save(out, np.array(each))
        members.append((f"s{number:04d}.png", picture(number, "PNG")))
        members.append((f"s{number:04d}.npy", out.getvalue()))
    return members


def write_jsonl(path: Path, rows: Iterable[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Listed(PairSource):
    """A source of samples in memory."""

    def __init__(self, shards: Sequence[Sequence[Sample]], name: str = "listed") -> None:
        self.spec = self.name = name
        self._shards = [_Shard(str(number), samples) for number, samples in enumerate(shards)]

    def shards(self) -> list["_Shard"]:
        return self._shards

    def fingerprint(self) -> str:
        return self.name


class _Shard:
    def __init__(self, name: str, samples: Sequence[Sample]) -> None:
        self.name = name
        self._samples = samples

    def __iter__(self):
        return iter(self._samples)


def listed(num: int, per_shard: int = 7, name: str = "listed") -> Listed:
    samples = [Sample(f"k{i}", picture(i), (f"picture {i}", f"again {i}", f"thrice {i}")) for i in range(num)]
    return Listed([samples[i : i + per_shard] for i in range(0, num, per_shard)], name)
