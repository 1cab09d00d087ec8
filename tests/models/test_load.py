"""Loading: what is read, what is refused, and that nothing leaks to the terminal."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tclip.errors import ModelError
from tclip.models.fetch import fetch, fetch_config
from tclip.models.load import clip_from, dense_model, empty_model, load_dense
from tests.tiny import FAMILY_NAMES, edit_json

OURS = {"quant_method": "tclip", "format": 1}


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A tiny CLIP that a test may change."""
    return shutil.copytree(tiny_folder("clip"), tmp_path / "clip")


def edit_weights(folder, **changes):
    weights = {**load_file(folder / "model.safetensors"), **changes}
    kept = {name: weight for name, weight in weights.items() if weight is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_half_precision_weights_become_float32(folder):
    exact = load_file(folder / "model.safetensors")
    edit_weights(folder, **{name: weight.half() for name, weight in exact.items()})
    model = load_dense(str(folder)).model
    name = "visual_projection.weight"
    assert torch.equal(model.get_parameter(name), exact[name].half().float())


def test_shards_are_read(folder):
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    loaded = load_dense(str(folder)).model.state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded[name], weight)
    missing = sorted(folder.glob("model-*-of-*.safetensors"))[1]
    missing.unlink()
    with pytest.raises(ModelError, match=f"lacks {missing.name}: give a folder with all"):
        load_dense(str(folder))


@pytest.mark.parametrize("index", ["{", "[]", "{}"])
def test_damaged_index_of_shards(folder, index):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError, match=r"index\.json .*: fetch the model again"):
        fetch(str(folder))


def test_commit_of_a_folder_follows_its_files(folder):
    before = fetch(str(folder)).source.commit
    assert fetch(str(folder)).source.commit == before
    (folder / "README.md").write_text("not a part of the model")
    assert fetch(str(folder)).source.commit == before
    edit_weights(folder, logit_scale=torch.tensor(1.0))
    assert fetch(str(folder)).source.commit != before


def test_missing_weights_are_named(folder):
    edit_weights(folder, **{"visual_projection.weight": None, "text_projection.weight": None})
    with pytest.raises(ModelError, match=r"lacks 2 weights .*, such as text_projection\.weight"):
        load_dense(str(folder))


def test_weights_of_another_shape_are_named(folder):
    edit_weights(folder, **{"visual_projection.weight": torch.zeros(24, 16)})
    with pytest.raises(
        ModelError, match=r"1 weights .* visual_projection\.weight \[24, 16\] for \[24, 32\]: fetch both"
    ):
        load_dense(str(folder))


def test_damaged_weights(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:5000])
    with pytest.raises(
        ModelError, match=r"The weights of .* cannot be read \(.*\): fetch it again"
    ) as caught:
        load_dense(str(folder))
    assert "\n" not in str(caught.value)


def test_pickle_is_never_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelError, match=r"only pickled weights \(\.bin\), .*save_pretrained\(folder\)"):
        load_dense(str(folder))


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model\.safetensors: give a folder with all"):
        load_dense(str(folder))


@pytest.mark.parametrize(
    ("config", "sentence"), [("{", "is not valid JSON"), ("[1]", "does not hold a JSON object")]
)
def test_damaged_config(folder, config, sentence):
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError, match=rf"config\.json {sentence}.*: fetch the model again"):
        fetch_config(str(folder))


def test_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"has no config\.json: give a folder in the Hugging Face layout"):
        fetch_config(str(tmp_path))


def test_a_folder_above_names_the_models_inside(folder):
    with pytest.raises(ModelError, match=re.escape(f"no model but holds some, give {folder}")):
        fetch_config(str(folder.parent))


def test_a_run_names_what_it_was_made_of_and_what_it_made(folder):
    (folder.parent / "recipe.yaml").touch()
    with pytest.raises(ModelError, match=r"is a run: give the model that it was made of, or .*/packed"):
        fetch_config(str(folder.parent))


def test_folder_has_no_revisions(folder):
    with pytest.raises(ModelError, match="is a local folder and has no revisions: leave out revision main"):
        fetch_config(str(folder), revision="main")


def test_packed_folder_is_no_dense_model(folder):
    edit_json(folder / "config.json", quantization_config=OURS)
    assert fetch_config(str(folder)).is_packed
    with pytest.raises(ModelError, match="is ternary already: give the model it was made from"):
        load_dense(str(folder))


def test_foreign_quantization_is_not_ours(folder):
    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq"})
    assert not fetch_config(str(folder)).is_packed


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json"])
def test_missing_parts_are_named(folder, name):
    (folder / name).unlink()
    part = "tokenizer" if name.startswith("token") else "image preprocessor"
    with pytest.raises(ModelError, match=f"The {part} of .* cannot be loaded .*: put its files") as caught:
        load_dense(str(folder))
    assert "\n" not in str(caught.value)


def test_siglip_without_sentencepiece_and_without_tokenizer_json(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("siglip"), tmp_path / "siglip")
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(
        ModelError, match=r"only as a SentencePiece model: .*`pip install sentencepiece protobuf`"
    ):
        load_dense(str(folder))


@pytest.mark.parametrize("size", [32, {"shortest_edge": 32}], ids=str)
@pytest.mark.parametrize(
    "names",
    [{"feature_extractor_type": "CLIPFeatureExtractor"}, {"image_processor_type": "CLIPImageProcessorFast"}],
    ids=str,
)
def test_preprocessors_of_older_models(folder, names, size):
    path = folder / "preprocessor_config.json"
    stock = load_dense(str(folder)).image_processor
    edit_json(path, image_processor_type=None, do_rescale=None, do_convert_rgb=None)
    edit_json(path, size=size, crop_size=32, **names)
    assert load_dense(str(folder)).image_processor.to_dict() == stock.to_dict()


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_empty_model_of_a_packed_folder(tiny_folder, tmp_path, family, device):
    folder = shutil.copytree(tiny_folder(family), tmp_path / "packed")
    edit_json(folder / "config.json", quantization_config=OURS)
    files = fetch(str(folder))
    dense = dense_model(fetch(str(tiny_folder(family))))
    empty = empty_model(files, device)
    assert type(empty) is type(dense)
    assert not empty.training
    assert {name: p.shape for name, p in empty.named_parameters()} == {
        name: p.shape for name, p in dense.named_parameters()
    }
    assert {p.device.type for p in empty.parameters()} == {device}
    if device == "cpu":
        empty.load_state_dict(dense.state_dict())
        ours, stock = clip_from(files, empty), load_dense(str(tiny_folder(family)))
        texts = ours.tokenize(["a red ball"])
        # not to the bit: sums may depend on where in memory the weights lie
        torch.testing.assert_close(ours.embed_texts(texts), stock.embed_texts(texts))


def test_empty_model_of_a_senseless_config(folder):
    edit_json(folder / "config.json", text_config={"hidden_size": 30, "num_attention_heads": 4})
    with pytest.raises(ModelError, match=r"config\.json of .* does not describe a model"):
        empty_model(fetch_config(str(folder)))


def test_nothing_leaks_to_the_terminal(tiny_folder):
    """A process that loads every family, dense and empty, writes only what it prints itself."""
    folders = [str(tiny_folder(family)) for family in FAMILY_NAMES]
    script = f"""
import json, warnings
from pathlib import Path
from tclip.models.fetch import fetch
from tclip.models.load import empty_model, load_dense
for folder in {json.dumps(folders)}:
    load_dense(folder)
    files = fetch(folder)
    files.config["quantization_config"] = {json.dumps(OURS)}
    empty_model(files)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=200
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_loading_leaves_the_logging_of_transformers_as_it_was(tiny_folder):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_dense(str(tiny_folder("clip")))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
