"""The numbers of the clip-benchmark package itself, on the same folders and the same dense model.

Optional: `make clip-benchmark` installs it. Its own reader and its own metrics are used; of its models, which
need open_clip, and of torchvision, which its reader imports for data sets of other kinds, nothing is.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tclip.data.eval_sets import open_eval
from tclip.evaluate.encoder import ClipEncoder
from tclip.evaluate.run import evaluate
from tclip.models.clip import Clip
from tclip.models.load import load_dense
from tests.data.making import class_members, multilabel_members, pair_members, write_layout

BATCH = 16
UNUSED = ("", ".transforms", ".datasets", ".datasets.utils", ".datasets.vision")  # of torchvision


class Stub(ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


@contextmanager
def without_torchvision() -> Iterator[None]:
    """Let `import torchvision` pass where it is not installed."""
    try:
        import_module("torchvision")
        stubs = []
    except ImportError:
        stubs = [f"torchvision{name}" for name in UNUSED]
    for name in stubs:
        sys.modules[name] = Stub(name)
        above, _, last = name.rpartition(".")
        if above:
            setattr(sys.modules[above], last, sys.modules[name])
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]


def one_number(value: Any) -> float:
    return np.asarray(value).item()


@pytest.fixture(scope="module")
def package() -> Callable[[str], ModuleType]:
    """Gives the package's modules."""
    for name in ("clip_benchmark", "webdataset", "sklearn", "requests", "tqdm"):
        pytest.importorskip(name, reason=f"{name} is missing: `pip install clip-benchmark`")
    with without_torchvision():
        import_module("clip_benchmark.datasets.builder")
    # the package turns arrays of one number into floats, which newer numpy refuses
    vars(import_module("clip_benchmark.metrics.zeroshot_classification"))["float"] = one_number
    return lambda name: import_module(f"clip_benchmark.{name}")


class Model:
    """A Clip as the package wants a model."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.clip.model.get_image_features(pixel_values=pixels).pooler_output

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.clip.model.get_text_features(input_ids=tokens).pooler_output

    def transform(self, image: Any) -> torch.Tensor:
        return self.clip.preprocess([image])["pixel_values"][0]

    def tokenizer(self, texts: list[str]) -> torch.Tensor:
        return self.clip.tokenize(texts)["input_ids"]


def theirs(package: Callable[[str], ModuleType], clip: Clip, folder: Path) -> dict[str, float]:
    model = Model(clip)
    dataset = package("datasets.builder").build_wds_dataset("x", model.transform, "test", str(folder))
    loader = torch.utils.data.DataLoader(dataset.batched(BATCH), batch_size=None, shuffle=False)
    if dataset.classes is None:
        return package("metrics.zeroshot_retrieval").evaluate(
            model, loader, model.tokenizer, device="cpu", amp=False, recall_k_list=[1, 5, 10]
        )
    return package("metrics.zeroshot_classification").evaluate(
        model, loader, model.tokenizer, dataset.classes, dataset.templates, device="cpu", amp=False
    )


def check(package: Callable[[str], ModuleType], clip: Clip, folder: Path) -> None:
    """Every metric of theirs is ours: a single sample would make a larger difference."""
    expected = {name: value for name, value in theirs(package, clip, folder).items() if value == value}
    record, _ = evaluate(ClipEncoder(clip), open_eval(str(folder)), batch_size=BATCH)
    assert expected and expected.keys() <= record.metrics.keys()
    assert {name: record.metrics[name] for name in expected} == pytest.approx(expected, rel=0, abs=1e-5)


@pytest.fixture(scope="module")
def clip(tiny_folder: Callable[[str], Path]) -> Clip:
    return load_dense(str(tiny_folder("clip")))


TEXTS = {
    "classnames": "cat\ndog\ncow\nhen\npig\nape\nbee\n",
    "zeroshot_classification_templates": "a {c}\nthe big {c}.\n",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["classification", "multilabel", "retrieval"])
def test_metrics_agree_to_the_last_sample(
    package: Callable[[str], ModuleType], clip: Clip, tmp_path: Path, kind: str
) -> None:
    if kind == "retrieval":
        shards, texts = [pair_members(range(25)), pair_members(range(25, 40))], {"dataset_type": kind}
    elif kind == "multilabel":
        marks = [[int((number * place) % 5 < 2) for place in range(1, 8)] for number in range(40)]
        shards, texts = [multilabel_members(marks)], {"dataset_type": kind, **TEXTS}
    else:
        labels = [number * number % 7 for number in range(50)]
        shards, texts = [class_members(labels[:30]), class_members(labels[30:], first=30)], TEXTS
    check(package, clip, write_layout(tmp_path, {"test": shards}, **texts))


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore")
def test_they_agree_on_photographs(package: Callable[[str], ModuleType], shared: Path) -> None:
    check(package, load_dense(str(shared / "models/ref-clip")), shared / "data/clothing")
