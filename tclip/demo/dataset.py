"""The demo's data: drawn scenes as two folders in CLIP_benchmark's webdataset layout.

scenes/  retrieval: train and test scenes with captions, one a line
shapes/  classification, for the test alone: one thing a picture, 64 classes of colour and shape

Training never sees a combination kept for the test (scenes.is_held_out) nor its checked background.
"""

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random

from PIL import Image

from tclip.demo.captions import claim, name_group, phrase
from tclip.demo.draw import PATTERNS, TEST_PATTERN, draw
from tclip.demo.scenes import Group, Scene, is_true, kinds, sample_scene, sample_single

CAPTIONS_A_SCENE = 3  # in training; the test has one, that fits no other scene of the test
TEST_PATTERNS = (*PATTERNS, TEST_PATTERN)
TEMPLATES = ("{c}", "a picture of {c}", "a drawing of {c}", "an image of {c}", "there is {c}")
CLASS_NAMES = tuple(name_group(Group(1, None, *kind), Random(0)) for kind in kinds())

# A sample is its files by ending ("png", "txt" or "cls"), as bytes.
Sample = dict[str, bytes]


@dataclass(frozen=True)
class DemoData:
    """The two folders of the demo, both in CLIP_benchmark's webdataset layout."""

    scenes: Path
    shapes: Path

    @classmethod
    def below(cls, folder: Path, num_train: int, num_test: int, seed: int) -> "DemoData":
        """Return where below `folder` the data with these numbers lie."""
        root = folder / f"drawn-{num_train}-{num_test}-{seed}"
        return cls(root / "scenes", root / "shapes")


def write_scenes(folder: Path, num_train: int, num_test: int, seed: int) -> DemoData:
    """Draw the demo's data below `folder`, or use what an earlier call with the same numbers left there.

    num_train and num_test are numbers of pictures; num_test in each of the two folders. A data set
    that is there is complete: it is written beside its place and then moved.
    """
    data = DemoData.below(folder, num_train, num_test, seed)
    _write_once(
        data.scenes,
        {"dataset_type.txt": "retrieval\n"},
        {"train": _train_samples(num_train, seed), "test": _test_samples(num_test, seed)},
    )
    _write_once(
        data.shapes,
        {
            "classnames.txt": "\n".join(CLASS_NAMES) + "\n",
            "zeroshot_classification_templates.txt": "\n".join(TEMPLATES) + "\n",
        },
        {"test": _class_samples(num_test, seed)},
    )
    return data


def train_pairs(num: int, seed: int) -> Iterator[tuple[Image.Image, list[str]]]:
    """Yield scenes without held-out combinations, each with CAPTIONS_A_SCENE captions."""
    for index in range(num):
        rng = Random(f"pairs/train/{seed}/{index}")
        scene = sample_scene(rng, held_out=False)
        said = [phrase(claim(scene, rng, full=False), rng) for _ in range(CAPTIONS_A_SCENE)]
        yield draw(scene, rng), said


def held_out_pairs(num: int, seed: int) -> Iterator[tuple[Image.Image, str]]:
    """Yield scenes with held-out combinations, each with a caption that is true of it alone among them."""
    taken: list[tuple[Scene, Scene]] = []
    rng = Random(f"pairs/test/{seed}")
    while len(taken) < num:
        scene = sample_scene(rng, held_out=True)
        said = claim(scene, rng, full=True)
        if any(is_true(said, other) or is_true(other_said, scene) for other, other_said in taken):
            continue
        taken.append((scene, said))
        yield draw(scene, rng, TEST_PATTERNS), phrase(said, rng)


def class_pictures(num: int, seed: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield pictures of one thing with the number of its class, the 64 classes in turn."""
    for index, (number, kind) in enumerate(islice(cycle(enumerate(kinds())), num)):
        rng = Random(f"classes/{seed}/{index}")
        yield draw(sample_single(rng, *kind), rng, TEST_PATTERNS), number


def model_folder() -> Path:
    """Return the folder of the embedded CLIP, in the standard Hugging Face layout."""
    return Path(__file__).parent / "model"


def _train_samples(num: int, seed: int) -> Iterator[Sample]:
    for image, said in train_pairs(num, seed):
        yield {"png": _png(image), "txt": "\n".join(said).encode()}


def _test_samples(num: int, seed: int) -> Iterator[Sample]:
    for image, said in held_out_pairs(num, seed):
        yield {"png": _png(image), "txt": said.encode()}


def _class_samples(num: int, seed: int) -> Iterator[Sample]:
    for image, number in class_pictures(num, seed):
        yield {"png": _png(image), "cls": str(number).encode()}


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _write_once(folder: Path, texts: dict[str, str], splits: dict[str, Iterable[Sample]]) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in texts.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        for split, samples in splits.items():
            _write_split(unfinished / split, samples)
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_split(folder: Path, samples: Iterable[Sample]) -> None:
    folder.mkdir()
    (folder / "nshards.txt").write_text("1", encoding="utf-8")
    with tarfile.open(folder / "0.tar", "w") as tar:
        for index, sample in enumerate(samples):
            for ending, content in sample.items():
                member = tarfile.TarInfo(f"s{index:07d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
