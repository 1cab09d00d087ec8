"""Loading: what is refused and how, what is not imported, what is not read, and damaged files."""

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import close_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import tclip.runtime
import tclip.runtime.loading
from tclip.errors import DataError, FormatError, ModelError, UserError
from tclip.packed.format import CODES, METADATA_KEY, SCALE
from tests.hub_server import HubServer
from tests.runtime.conftest import PackedFolder
from tests.tiny import edit_json

PICTURE = Image.new("RGB", (40, 40), "red")


@pytest.fixture
def packed(packed_folder: PackedFolder, tmp_path: Path) -> Path:
    """A packed folder of the test's own."""
    return Path(shutil.copytree(packed_folder("clip"), tmp_path / "packed"))


def change_config(folder: Path, part: str, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit_json(folder / "config.json", **{part: config[part] | changes})


def test_neither_torch_nor_transformers_is_imported(packed: Path, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    code = (
        "import sys, tclip.runtime\n"
        f"clip = tclip.runtime.load({str(packed)!r})\n"
        f"clip.classify({str(tmp_path / 'a.png')!r}, ['cat', 'dog'])\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_picture_is_classified(packed: Path) -> None:
    clip = tclip.runtime.load(packed)
    answer = clip.classify(PICTURE, ["cat", "dog", "bird"])
    assert isinstance(answer, dict)
    assert sorted(answer) == ["bird", "cat", "dog"]
    assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert sum(answer.values()) == pytest.approx(1)
    for same in clip.classify([PICTURE, PICTURE], ["cat", "dog", "bird"]):
        assert isinstance(same, dict)
        assert same == pytest.approx(answer)
    text_LE = clip.encode_text([f"a photo of a {label}." for label in ("cat", "dog", "bird")])
    expected = clip.probabilities(clip.encode_image([PICTURE]), text_LE)[0]
    assert [answer[label] for label in ("cat", "dog", "bird")] == pytest.approx(expected.tolist())


def test_siglip_judges_each_label_by_itself(packed_folder: PackedFolder) -> None:
    clip = tclip.runtime.load(packed_folder("siglip"))
    one, two = clip.classify(PICTURE, ["cat"]), clip.classify(PICTURE, ["cat", "dog"])
    assert isinstance(one, dict) and isinstance(two, dict)
    assert one["cat"] == pytest.approx(two["cat"], rel=1e-5)
    assert 0 < one["cat"] < 1


@pytest.mark.parametrize(
    ("labels", "template", "message"),
    [
        ([], "a {}", "at least one label"),
        (["cat", "dog", "cat"], "a {}", "cat is there twice"),
        (["cat"], "a photo", "has no {}"),
    ],
)
def test_labels_that_make_no_sense_are_refused(
    packed: Path, labels: list[str], template: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        tclip.runtime.load(packed).classify(PICTURE, labels, template)


@pytest.mark.parametrize(("tower", "other"), [("image", "text"), ("text", "image")])
def test_one_tower_alone_does_not_read_the_other(packed: Path, tower: str, other: str) -> None:
    both = tclip.runtime.load(packed)
    damage(packed, "vision_model" if other == "image" else "text_model")
    alone = tclip.runtime.load(packed, towers=tower)
    assert alone.embedding_size == both.embedding_size
    encode = {
        "image": lambda clip: clip.encode_image(PICTURE),
        "text": lambda clip: clip.encode_text("a cat"),
    }
    assert np.array_equal(encode[tower](alone), encode[tower](both))
    with pytest.raises(ModelError, match=f'The {other} tower of .* was not loaded.*towers="{other}"'):
        encode[other](alone)
    with pytest.raises(FormatError, match="have changed"):
        tclip.runtime.load(packed)


def damage(folder: Path, prefix: str) -> None:
    """Change one byte of a tensor whose name starts with `prefix`."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name.startswith(prefix) and name.endswith("_codes"))
    data[8 + length + header[name]["data_offsets"][0]] ^= 1
    path.write_bytes(data)


def test_a_run_folder_means_its_packed_model(packed: Path, tmp_path: Path) -> None:
    assert tclip.runtime.load(tmp_path).identity == tclip.runtime.load(packed).identity


def test_a_hub_id_is_fetched(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer(models={"someone/packed": packed}) as server:
        server.connect(monkeypatch, tmp_path / "cache")
        clip = tclip.runtime.load("someone/packed")
        close_session()
    assert clip.identity == tclip.runtime.load(packed).identity
    assert clip.encode_text("a cat").shape == (1, clip.embedding_size)


def test_the_identity_tells_models_apart(packed_folder: PackedFolder) -> None:
    folders = [packed_folder("clip"), packed_folder("clip", "tensor"), packed_folder("siglip")]
    assert len({tclip.runtime.load(folder).identity for folder in folders}) == 3


def test_what_is_not_packed_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not packed"):
        tclip.runtime.load(tiny_folder("clip"))
    with pytest.raises(ModelError, match="There is no model folder"):
        tclip.runtime.load(tmp_path / "nothing")


@pytest.mark.parametrize("family", ["siglip2", "chinese_clip", "altclip", "vision-text-dual-encoder"])
def test_what_cannot_be_run_is_refused_by_name(packed_folder: PackedFolder, family: str) -> None:
    with pytest.raises(ModelError, match=r"tower of .* cannot be run without torch"):
        tclip.runtime.load(packed_folder(family))


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("vision_config", {"hidden_act": "relu"}, 'the activation "relu"'),
        ("vision_config", {"image_size": 64}, "positions are not interpolated"),
        ("vision_config", {"num_attention_heads": 5}, "heads do not divide"),
        ("vision_config", {"num_attention_heads": "two"}, "num_attention_heads = 'two'"),
        ("vision_config", {"num_hidden_layers": 3}, r"layers\.2\..* is missing"),
        (
            "vision_config",
            {"num_hidden_layers": 1},
            r"does not describe; fetch.*\n  vision_model.*layers\.1\.",
        ),
        ("vision_config", {"num_channels": "x"}, "num_channels = 'x'"),
        ("vision_config", {"num_channels": 4}, "layers do not fit"),
        ("vision_config", {"layer_norm_eps": None}, "layer_norm_eps = None"),
        ("text_config", {"layer_norm_eps": -1e-5}, "layer_norm_eps = -1e-05"),
        ("text_config", {"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        ("text_config", {"num_hidden_layers": 1}, r"does not describe; fetch.*\n  text_model.*layers\.1\."),
        ("text_config", {"eos_token_id": []}, r"eos_token_id = \[\]"),
    ],
)
@pytest.mark.parametrize("path", ["", "numpy"])
def test_a_configuration_that_does_not_fit_is_refused(
    packed: Path, part: str, changes: dict, message: str, path: str
) -> None:
    change_config(packed, part, **changes)
    with pytest.raises(UserError, match=message):
        tclip.runtime.load(packed, path=path)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("tokenizer_config.json", {"model_max_length": "x"}, "model_max_length = 'x'"),
        ("tokenizer_config.json", {"model_max_length": 1}, "model_max_length = 1"),
        ("preprocessor_config.json", {"image_mean": [0.5]}, "1 numbers for 3 channels"),
    ],
)
def test_a_preprocessor_that_makes_no_sense_is_refused(
    packed: Path, file: str, changes: dict, message: str
) -> None:
    edit_json(packed / file, **changes)
    with pytest.raises(ModelError, match=message):
        tclip.runtime.load(packed)


@pytest.mark.parametrize("path", ["", "numpy"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("logit_scale", lambda tensor: tensor.reshape(-1)[:0], "logit_scale holds 0 numbers instead of 1"),
        ("logit_scale", lambda tensor: np.full_like(tensor, 1000), "logit_scale is too large"),
        ("text_projection.weight_scale", lambda tensor: -tensor, "a scale of text_projection.weight is neg"),
        ("text_projection.weight_codes", lambda tensor: tensor | 255, "a byte above 242"),
        ("text_model.final_layer_norm.bias", lambda tensor: tensor[:-1], "a norm has another width"),
        (
            "visual_projection.weight_codes",
            lambda tensor: tensor[:-1],
            "the codes of visual_projection.weight",
        ),
    ],
)
def test_tensors_that_make_no_sense_are_refused(
    packed: Path, name: str, change: Callable[[np.ndarray], np.ndarray], message: str, path: str
) -> None:
    tensors = dict(load_file(packed / "model.safetensors"))
    write_tensors(packed, packed, tensors | {name: change(tensors[name])})
    with pytest.raises(FormatError, match=message):
        tclip.runtime.load(packed, path=path)


def test_an_unknown_path_is_refused(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r'no path "numpi".*Did you mean "numpy"'):
        tclip.runtime.load(packed, path="numpi")
    monkeypatch.setenv("TCLIP_PATH", "numpy")
    assert tclip.runtime.load(packed).path == "numpy"
    assert tclip.runtime.load(packed, path=tclip.runtime.paths()[0]).path == tclip.runtime.paths()[0]
    with pytest.raises(ModelError, match='no towers="picture"'):
        tclip.runtime.load(packed, towers="picture")


def test_without_native_code_one_warning_says_how_to_get_it(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tclip.runtime.loading, "native_module", lambda: None)
    with pytest.warns(RuntimeWarning, match="install a C\\+\\+ compiler") as warned:
        clip = tclip.runtime.load(packed)
    assert clip.path == "numpy"
    assert len(warned) == 1
    assert clip.encode_text("a cat").shape == (1, clip.embedding_size)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_refused_or_run(
    packed_folder: PackedFolder, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes of the header are set, inserted and dropped: a sentence comes out, or a model that runs."""
    source = packed_folder("clip")
    folder = tmp_path_factory.mktemp("mutated")
    for file in source.iterdir():
        if file.name != "model.safetensors":
            shutil.copy(file, folder)
    content = bytearray((source / "model.safetensors").read_bytes())
    length = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 8 + length))
        kind = data.draw(st.sampled_from(["set", "insert", "drop", "cut", "digit"]))
        if kind == "set":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(max_size=4))
        elif kind == "drop":
            del content[place : place + data.draw(st.integers(1, 4))]
        elif kind == "cut":
            del content[data.draw(st.integers(0, len(content))) :]
            break
        else:
            digits = [i for i in range(8, 8 + length) if 48 <= content[i] <= 57]
            content[data.draw(st.sampled_from(digits))] = data.draw(st.integers(48, 57))
    (folder / "model.safetensors").write_bytes(content)
    try:
        clip = tclip.runtime.load(folder)
    except UserError:
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert clip.encode_image(PICTURE).shape == (1, clip.embedding_size)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_hostile_header_with_right_checksums_is_refused_or_runs(
    packed_folder: PackedFolder, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Shapes and codes that lie, under checksums that hold."""
    source = packed_folder("clip")
    folder = tmp_path_factory.mktemp("hostile")
    for file in source.iterdir():
        if file.name != "model.safetensors":
            shutil.copy(file, folder)
    tensors = dict(load_file(source / "model.safetensors"))
    header = json.loads(read_metadata(source)[METADATA_KEY])
    name = data.draw(st.sampled_from(sorted(header["shapes"])))
    kind = data.draw(st.sampled_from(["shape", "codes", "bytes", "scale", "float"]))
    if kind == "shape":
        axis = data.draw(st.integers(0, len(header["shapes"][name]) - 1))
        header["shapes"][name][axis] = data.draw(st.sampled_from([0, 1, 7, 31, 33, 2**31, 2**62]))
    elif kind == "codes":
        tensors[name + CODES] = tensors[name + CODES][: data.draw(st.integers(0, 40))]
    elif kind == "bytes":
        tensors[name + CODES] = np.full_like(tensors[name + CODES], data.draw(st.integers(0, 255)))
    elif kind == "scale":
        shape = data.draw(st.tuples(st.integers(0, 40), st.integers(0, 40)))
        tensors[name + SCALE] = np.ones(shape, np.float16)
    else:
        floats = sorted(each for each, tensor in tensors.items() if tensor.dtype == np.float16)
        chosen = data.draw(st.sampled_from(floats))
        tensors[chosen] = np.zeros(data.draw(st.lists(st.integers(0, 40), max_size=3)), np.float16)
    write_tensors(source, folder, tensors, shapes=header["shapes"])
    try:
        clip = tclip.runtime.load(folder)
    except UserError:
        return
    assert clip.encode_image(PICTURE).shape == (1, clip.embedding_size)
    assert clip.encode_text(["a cat"]).shape == (1, clip.embedding_size)


def read_metadata(folder: Path) -> dict[str, str]:
    with safe_open(folder / "model.safetensors", framework="np") as file:
        return file.metadata()


def write_tensors(source: Path, folder: Path, tensors: dict[str, np.ndarray], **changes: object) -> None:
    """Write tensors with right checksums; what else the header says is the source's, or changed."""
    header = json.loads(read_metadata(source)[METADATA_KEY]) | changes
    header["checksums"] = {name: zlib.crc32(tensor.tobytes()) for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {METADATA_KEY: json.dumps(header)})
