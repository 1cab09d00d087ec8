"""A run that went through every stage, and a Hub on the loopback to push it to."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tclip.pipeline import STAGES, compress, stage_fingerprint
from tclip.progress import Collected
from tclip.recipe.schema import Recipe
from tclip.recipe.write import write_recipe
from tclip.run import Run, open_run
from tests.data.making import class_members, pair_members, write_layout
from tests.hub_server import HubServer

BASE = "org/clip"
CARD = """---
license: {license}
language: en
pipeline_tag: zero-shot-image-classification
---

# A small CLIP
"""


def write_base(tiny: Path, folder: Path, license: str = "mit", more: str = "") -> Path:
    """The original as it lies on the Hub: the model's files and a card."""
    shutil.copytree(tiny, folder)
    card = CARD.format(license=license)
    (folder / "README.md").write_text(card.replace("language:", f"{more}language:"))
    return folder


def write_run(folder: Path, base: Path) -> Path:
    """Compress org/clip without training on six pairs, measure it on two sets; return the run."""
    pairs = write_layout(folder / "pairs", {"train": [pair_members(range(6))]}, dataset_type="retrieval")
    seen = write_layout(folder / "seen", {"test": [pair_members(range(5))]}, dataset_type="retrieval")
    pets = write_layout(
        folder / "pets",
        {"test": [class_members([0, 1, 1, 0])]},
        classnames="cat\ndog\n",
        zeroshot_classification_templates="a {c}\n",
    )
    recipe = Recipe.model_validate(
        {
            "schema": 1,
            "name": "tiny",
            "model": {"id": BASE},
            "data": {"train": [str(pairs)]},
            "quantize": {"quantizer": "mse"},
            "calibrate": {"method": "round", "pairs": 4, "refit": False},
            "train": None,
            "export": {"onnx": None},
            "eval": {"data": [str(pets), str(seen)]},
        }
    )
    with HubServer(models={BASE: base}) as server, pytest.MonkeyPatch.context() as patched:
        server.connect(patched, folder / "cache")
        compress(recipe, folder / "run", Collected())
        close_client()
    return folder / "run"


def with_onnx(run: Run, marker: bytes = b"") -> Run:
    """The run as if its ONNX files had been written; what is in them is of no matter to a push."""
    run = with_recipe(run, export={"onnx": {}})
    for name in ("image_encoder.onnx", "text_encoder.onnx", "config.json", "tokenizer.json"):
        run.onnx.mkdir(exist_ok=True)
        (run.onnx / name).write_bytes(name.encode() * 100 + marker)
    (run.results / "onnx.json").write_text("{}")
    return run


def write_onnx(run: Run, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Write encoders with the names and inputs that an export has, and far simpler: means, then a product.

    Returns:
        pixel_CE, by which the mean colour becomes an embedding; token_VE, whose mean over tokens is one.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    pixel_CE = random.normal(size=(3, 4)).astype(np.float32)
    token_VE = random.normal(size=(vocabulary, 4)).astype(np.float32)
    mean = {"keepdims": 0}
    graphs = {
        "image": (
            helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["b", 3, "h", "w"]),
            {"axes": np.array([2, 3]), "table": pixel_CE},
            [
                helper.make_node("ReduceMean", ["pixel_values", "axes"], ["means"], **mean),
                helper.make_node("MatMul", ["means", "table"], ["image_embeds"]),
            ],
        ),
        "text": (
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "tokens"]),
            {"axes": np.array([1]), "table": token_VE},
            [
                helper.make_node("Gather", ["table", "input_ids"], ["found"]),
                helper.make_node("ReduceMean", ["found", "axes"], ["text_embeds"], **mean),
            ],
        ),
    }
    run.onnx.mkdir()
    for name, (taken, held, nodes) in graphs.items():
        given = helper.make_tensor_value_info(f"{name}_embeds", TensorProto.FLOAT, ["b", 4])
        tensors = [numpy_helper.from_array(value, key) for key, value in held.items()]
        graph = helper.make_graph(nodes, name, [taken], [given], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        (run.onnx / f"{name}_encoder.onnx").write_bytes(model.SerializeToString())
    for path in run.packed.glob("*.json"):
        shutil.copy(path, run.onnx)
    config = json.loads((run.onnx / "config.json").read_text())
    del config["quantization_config"]  # as in an export
    (run.onnx / "config.json").write_text(json.dumps(config))
    return pixel_CE, token_VE


def with_recipe(run: Run, **sections: object) -> Run:
    """The run as if it had been made by another recipe: finished, with the same files."""
    document = run.recipe.model_dump(by_alias=True, mode="json")
    recipe = Recipe.model_validate(
        {
            **document,
            **{
                name: {**document[name], **section} if isinstance(section, dict) else section
                for name, section in sections.items()
            },
        }
    )
    write_recipe(recipe, run.folder / "recipe.yaml")
    changed = open_run(run.folder)
    for stage in STAGES:
        if stage in run.finished():
            changed.mark(stage, stage_fingerprint(recipe, stage), [])
    return changed


def connected(server: HubServer, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[HubServer]:
    """The server while this process talks to it."""
    with server:
        server.connect(monkeypatch, cache)
        yield server
        close_client()


def close_client() -> None:
    """Close the Hub client's connections, so that none outlives its server."""
    from huggingface_hub import close_session

    close_session()
