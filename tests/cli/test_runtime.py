"""classify, embed, search and bench, as their users run them."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tclip.models.load import load_dense
from tclip.packed.write import write_packed
from tests.ternarizing import ternarized

TOWERS = ("image", "text")


@pytest.fixture(scope="module")
def model(tiny_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    write_packed(ternarized(load_dense(str(tiny_folder("clip")))), run / "packed")
    return str(run)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        Image.new("RGB", (40, 40), colour).save(folder / name)
    return folder


def table_of(out):
    (event,) = (json.loads(line) for line in out.splitlines() if '"table"' in line)
    return event


def test_classify_shows_the_likeliest_labels(tclip, model, pictures):
    images = sorted(map(str, pictures.iterdir()))
    done = tclip("classify", *images, "--labels", "cat, dog,bird", "--model", model, "--top", "2", "--json")
    assert done.code == 0, done.err
    rows = table_of(done.out)["rows"]
    assert [(image, rank) for image, rank, *_ in rows] == [
        (image, rank) for image in images for rank in (1, 2)
    ]
    assert all({label} < {"cat", "dog", "bird"} for *_, label, _ in rows)
    assert rows[0][3] >= rows[1][3]


def test_classify_takes_labels_of_a_file(tclip, model, pictures, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\n\n dog \n")
    done = tclip(
        "classify", str(pictures / "red.png"), "--labels-file", str(tmp_path / "labels.txt"), "-m", model
    )
    assert done.code == 0, done.err
    assert "2 labels" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either as --labels a,b,c or as --labels-file"),
        (("--labels", " , "), "holds no label"),
        (("--labels", "a,a"), "a is there twice"),
        (("--labels-file", "none.txt"), "There is no file none.txt"),
        (("--labels", "a", "--template", "x"), "has no {}"),
    ],
)
def test_classify_refuses_labels_that_make_no_sense(tclip, model, pictures, arguments, message):
    done = tclip("classify", str(pictures / "red.png"), "-m", model, *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


def test_classify_names_every_picture_that_cannot_be_read(tclip, model, pictures):
    done = tclip("classify", "no.png", str(pictures / "red.png"), "nor.png", "-m", model, "--labels", "a,b")
    assert done.code == 2
    assert "no.png" in done.err and "nor.png" in done.err


def test_embed_writes_vectors_and_names_what_it_left_out(tclip, model, pictures, tmp_path):
    (pictures / "broken.jpg").write_text("no picture")
    done = tclip("embed", str(pictures), "-o", str(tmp_path / "v.npy"), "-m", model)
    assert done.code == 0, done.err
    assert np.load(tmp_path / "v.npy").shape == (2, 24)
    assert "cannot be read: broken.jpg" in done.err
    assert json.loads((tmp_path / "v.json").read_text())["paths"] == ["blue.png", "red.png"]


def test_search_ranks_and_draws(tclip, model, pictures, tmp_path):
    sheet = tmp_path / "sheet.png"
    arguments = ("search", str(pictures), "something red", "-m", model, "--contact-sheet", str(sheet))
    done = tclip(*arguments, "--json")
    assert done.code == 0, done.err
    rows = table_of(done.out)["rows"]
    assert [rank for rank, *_ in rows] == [1, 2]
    assert rows[0][1] >= rows[1][1]
    assert {Path(path).name for *_, path in rows} == {"red.png", "blue.png"}
    assert sheet.is_file()
    assert "embedding" in done.out
    assert "embedding" not in tclip(*arguments, "--json").out


@pytest.mark.parametrize("json_lines", [(), ("--json",), ("--quiet",)])
def test_names_that_are_no_text_and_links_to_nothing_are_shown(tclip, model, pictures, tmp_path, json_lines):
    name = os.fsdecode(b"caf\xe9.png")
    (pictures / "red.png").rename(pictures / name)
    (pictures / os.fsdecode(b"gone\xe9.png")).symlink_to("nowhere.png")
    picture, vectors = str(pictures / name), str(tmp_path / "v.npy")
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own, unlike what the tests read it by
    for arguments in (
        ("search", str(pictures), "something red"),
        ("classify", picture, "--labels", "a,b"),
        ("embed", str(pictures), "-o", vectors),
    ):
        done = tclip(*arguments, "-m", model, *json_lines)
        assert done.code == 0, done.err
        if arguments[0] != "embed" and "--json" in json_lines:
            assert picture in [cell for row in table_of(done.out)["rows"] for cell in row]
        elif arguments[0] != "embed":
            assert "caf\\udce9.png" in done.out
    assert json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))["paths"] == ["blue.png", name]


def test_a_model_that_is_not_packed_is_refused(tclip, tiny_folder, pictures):
    done = tclip("search", str(pictures), "red", "-m", str(tiny_folder("clip")))
    assert (done.code, "is not packed" in done.err) == (2, True)


def test_bench_compares_in_one_run(tclip, model):
    against = "torch-float32,torch-bfloat16,onnx-int8,tclip:portable"
    if find_spec("openvino"):  # no dependency: compared where it is installed
        against += ",openvino-int8,openvino-float32"
    done = tclip(
        "bench",
        model,
        "--batch",
        "1,2",
        "--seconds",
        "0.01",
        "--against",
        against,
        "--threads",
        "1",
        "--json",
    )
    assert done.code == 0, done.err
    table = table_of(done.out)
    columns = [table["columns"].index(name) for name in ("tower", "batch", "run by")]
    found = {tuple(row[column] for column in columns) for row in table["rows"]}
    names = {"tclip", *against.split(",")}
    assert found == {
        (tower, batch, name) for tower in ("image", "text") for batch in (1, 2) for name in names
    }
    for row in table["rows"]:
        by_name = dict(zip(table["columns"], row, strict=True))
        assert 0 < by_name["p50, ms"] <= by_name["p95, ms"] + 1e-9
        assert by_name["peak, MiB"] > 10
        assert by_name["tclip faster, times"] == 1 or by_name["run by"] != "tclip"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "torch-float23,onnx-int9"), 'Did you mean "torch-float32"'),
        (("--batch", "1,zero"), "not 'zero'"),
        (("--towers", "txt"), 'Did you mean "text"'),
    ],
)
def test_bench_refuses_what_makes_no_sense(tclip, model, arguments, message):
    done = tclip("bench", model, *arguments)
    assert (done.code, message in done.err) == (2, True), done.err
