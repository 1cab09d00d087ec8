"""tclip export transformers, as its users run it."""

import json
import shutil

import pytest

from tests.verify.conftest import _run_once  # noqa: F401  (a fixture)


@pytest.fixture
def run_folder(_run_once, tmp_path):  # noqa: F811
    return shutil.copytree(_run_once, tmp_path / "run")


def test_a_dense_folder_is_written_and_its_files_shown(tclip, run_folder):
    done = tclip("export", "transformers", str(run_folder))
    assert done.code == 0, done.err
    config = json.loads((run_folder / "transformers" / "config.json").read_text())
    assert (config["dtype"], "quantization_config" in config) == ("bfloat16", False)
    assert (run_folder / "transformers" / "model.safetensors").is_file()
    assert "transformers" in done.out


def test_a_compressed_folder_is_written(tclip, run_folder):
    pytest.importorskip("compressed_tensors", reason="needs the extra: pip install 'tclip[compressed]'")
    done = tclip("export", "transformers", str(run_folder), "--format", "compressed", "--json")
    assert done.code == 0, done.err
    config = json.loads((run_folder / "compressed" / "config.json").read_text())
    assert config["quantization_config"]["format"] == "pack-quantized"
    assert not (run_folder / "transformers").exists()


def test_what_bitnet_cannot_say_is_one_message(tclip, run_folder):
    done = tclip("export", "transformers", str(run_folder), "--format", "bitnet")
    assert done.code == 2
    assert "quantize.scale=tensor" in done.err
    assert "activations: float" in done.err
    assert "mlp.fc1.weight (2 of them): scales per row" in done.err
    assert not (run_folder / "bitnet").exists()


def test_a_run_that_is_not_packed_is_told_so(tclip, run_folder):
    shutil.rmtree(run_folder / "packed")
    done = tclip("export", "transformers", str(run_folder))
    assert (done.code, f"tclip pack {run_folder}" in done.err) == (2, True), done.err


def test_an_unknown_format_is_told_with_the_nearest(tclip, run_folder):
    done = tclip("export", "transformers", str(run_folder), "--format", "bitnt")
    assert (done.code, 'Did you mean "bitnet"' in done.err) == (2, True), done.err
