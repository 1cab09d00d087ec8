"""tclip export gguf, as its users run it."""

import shutil

import pytest

from tests.verify.conftest import _run_once  # noqa: F401  (a fixture)

gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'tclip[gguf]'")


@pytest.fixture
def run_folder(_run_once, tmp_path):  # noqa: F811
    return shutil.copytree(_run_once, tmp_path / "run")


def test_a_file_is_written_with_the_license_of_the_card_or_of_the_option(tclip, run_folder):
    (run_folder / "packed" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    for options, license in (((), "apache-2.0"), (("--license", "mit"), "mit")):
        done = tclip("export", "gguf", str(run_folder), "--type", "f16", *options)
        assert done.code == 0, done.err
        (path,) = (run_folder / "gguf").iterdir()
        assert path.name in done.out
        assert gguf.GGUFReader(path).fields["general.license"].contents() == license


def test_widths_that_do_not_fit_are_one_message(tclip, run_folder):
    done = tclip("export", "gguf", str(run_folder))
    assert done.code == 2
    assert "choose --type f16" in done.err
    assert "vision_model.encoder.layers.*.self_attn.q_proj.weight (2 of them): [32, 32]" in done.err
    assert not (run_folder / "gguf").exists()


def test_a_run_that_is_not_packed_is_told_so(tclip, run_folder):
    shutil.rmtree(run_folder / "packed")
    done = tclip("export", "gguf", str(run_folder))
    assert (done.code, f"tclip pack {run_folder}" in done.err) == (2, True), done.err
