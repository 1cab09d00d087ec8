"""What is published of a run: names, bytes, hashes, and no word of where it lies."""

import hashlib
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclip.errors import UserError
from tclip.evaluate.record import read_record, write_record
from tclip.hub.files import PublishedFile, gather
from tclip.hub.state import look_at
from tclip.recipe.read import read_recipe
from tclip.run import Run, write_json
from tests.hub.making import with_recipe


def published(run: Run) -> dict[str, PublishedFile]:
    return {file.path: file for file in gather(run, look_at(run))}


def document(file: PublishedFile) -> dict:
    return json.loads(file.text())


@given(content=st.binary(max_size=200))
def test_hashes_are_git_s_and_sha256(content: bytes, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("hash") / "file"
    path.write_bytes(content)
    for file in (PublishedFile("file", content), PublishedFile("file", path)):
        assert file.num_bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.git_sha1 == hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


def test_git_agrees(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"\x00some\r\nbytes\n" * 1000)
    told = subprocess.run(
        ["git", "hash-object", "--no-filters", "file"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        pytest.skip("git is not installed")
    assert PublishedFile("file", tmp_path / "file").git_sha1 == told.stdout.strip()


def test_neither_checkpoints_nor_caches_nor_the_ternary_model_before_packing(run: Run) -> None:
    for folder in ("steps", "teacher", "trained", "onnx.rejected", "packed/.cache"):
        (run.folder / folder).mkdir()
        (run.folder / folder / "model.safetensors").write_bytes(b"x")
    (run.packed / ".DS_Store").write_bytes(b"x")
    assert {path.split("/")[0] for path in published(run) if "/" in path} == {"results"}
    assert published(run)["model.safetensors"].content == run.packed / "model.safetensors"
    assert ".DS_Store" not in published(run)


def test_the_recipe_is_readable_and_tells_no_path(run: Run, tmp_path) -> None:
    run = with_recipe(
        run,
        data={
            "train": [
                "/data/secret/flickr8k",
                "hf://org/cc@v1/*.tar",
                "org/pairs",
                "/data/secret/shards/{0000..0099}.tar",
                "datasets:///data/secret/rows",
                "datasets://org/rows",
            ]
        },
        teacher={"id": "/data/secret/teacher"},
    )
    (tmp_path / "recipe.yaml").write_text(published(run)["recipe.yaml"].text())
    assert "secret" not in (tmp_path / "recipe.yaml").read_text()
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert recipe.data.train == (
        "flickr8k",
        "hf://org/cc@v1/*.tar",
        "org/pairs",
        "shards/{0000..0099}.tar",
        "datasets://rows",
        "datasets://org/rows",
    )
    assert recipe.teacher.id == "teacher"
    assert recipe.quantize == run.recipe.quantize


def test_records_are_those_of_the_table(run: Run) -> None:
    record = read_record(run.results / "packed" / "pets.json")
    write_record(record, run.results / "trained" / "pets.json")  # of an earlier measurement of another form
    old = json.loads((run.results / "packed" / "pets.json").read_text()) | {"dataset": "cars"}
    write_json(run.results / "packed" / "cars.json", old)
    forms = [path for path in published(run) if path.count("/") == 2]
    assert forms == sorted(
        f"results/{form}/{name}.json" for form in ("original", "packed") for name in ("pets", "seen")
    )
    changed = json.loads((run.results / "packed" / "pets.json").read_text())
    changed["metrics"]["acc1"] = 0.75  # measured again, by another command that was cut short
    write_json(run.results / "packed" / "pets.json", changed)
    assert "results/packed/pets.json" not in published(run)


def test_results_tell_no_path(run: Run, base) -> None:
    run = with_recipe(run, model={"id": str(base)})
    local = json.loads((run.results / "packed" / "pets.json").read_text()) | {"model": str(base)}
    write_json(run.results / "packed" / "pets.json", local)
    write_json(
        run.results / "verify.json",
        {"title": f"Cosine to {run.packed} on 9 images and texts", "columns": ["form"], "rows": []},
    )
    files = published(run)
    assert document(files["results/table.json"])["title"] == "The original and its ternary forms"
    table = json.loads((run.results / "table.json").read_text())
    assert document(files["results/table.json"])["rows"] == table["rows"]
    assert document(files["results/packed/pets.json"])["model"] == "clip"
    assert (
        document(files["results/verify.json"])["title"] == "Cosine to the packed model on 9 images and texts"
    )


def test_a_path_that_slipped_into_a_file_is_found(run: Run) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        path = run.packed / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "_name_or_path": str(run.folder)}))
    with pytest.raises(UserError, match="would tell everybody where something lies") as caught:
        published(run)
    assert f"\n  config.json: {run.folder}" in str(caught.value)
    assert f"\n  preprocessor_config.json: {run.folder}" in str(caught.value)
