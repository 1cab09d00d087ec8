"""The model card: what the Hub reads of it, what people read, and whether its programs run."""

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from tclip.hub.card import markdown_table
from tclip.hub.push import Stated, Target, prepare, push
from tclip.hub.sources import dataset_ids, hub_id_of
from tclip.hub.usage import usage
from tclip.models.families import FAMILIES
from tclip.packed.load import load_packed
from tclip.packed.size import measure
from tclip.packed.write import write_packed
from tclip.progress import Collected
from tclip.run import Run
from tclip.ternary.tensor import IntTensor
from tests.hub.making import BASE, with_onnx, with_recipe, write_base, write_onnx
from tests.hub_repos import User
from tests.hub_server import HubServer

PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def card_of(run: Run, **stated: str) -> str:
    files, _ = prepare(run, Target("me/tiny"), Stated(**stated), Collected())
    assert files[0].path == "README.md"
    return files[0].text()


def front(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def measured(run: Run, name: str) -> dict:
    return json.loads((run.results / "packed" / f"{name}.json").read_text())


def test_the_front_matter(run: Run, hub: HubServer) -> None:
    data = front(card_of(with_onnx(run)))
    assert data["license"] == "mit"
    assert data["language"] == "en"
    assert (data["base_model"], data["base_model_relation"]) == (BASE, "quantized")
    assert (data["library_name"], data["pipeline_tag"]) == ("tclip", "zero-shot-image-classification")
    assert data["tags"] == ["tclip", "ternary", "1.58-bit", "clip", "onnx"]
    assert "datasets" not in data  # the pairs are no data set of the Hub


def test_the_model_index_is_what_was_measured(run: Run, hub: HubServer) -> None:
    results = ModelCard(card_of(run)).data.eval_results
    found = {(each.dataset_name, each.metric_name): each for each in results}
    pets, seen = measured(run, "pets"), measured(run, "seen")
    assert len(found) == len(pets["metrics"]) + len(seen["metrics"])
    top = found["pets", "top-1"]
    assert top.metric_value == round(pets["metrics"]["acc1"], 4)
    assert (top.task_type, top.metric_type) == ("zero-shot-image-classification", "accuracy")
    assert (top.dataset_split, top.dataset_args) == ("test", {"num_samples": 4})
    for k in (1, 5, 10):
        for name, tower in (("text to image", "image"), ("image to text", "text")):
            value = seen["metrics"][f"{tower}_retrieval_recall@{k}"]
            assert found["seen", f"{name} R@{k}"].metric_value == round(value, 4)


def test_data_of_the_hub_are_named_by_their_ids(run: Run, hub: HubServer) -> None:
    train = ["hf://org/cc@v1/*.tar", "datasets://org/rows:en", "org/pairs", "/data/org/flickr8k", "org/pairs"]
    evaluated = ["hf://org/pets", "/data/seen"]
    run = with_recipe(
        run, data={"train": train, "calibrate": ["hf://datasets/org/few"]}, eval={"data": evaluated}
    )
    assert dataset_ids(run.recipe) == ["org/cc", "org/rows", "org/pairs", "org/few"]
    assert hub_id_of("pets", evaluated) == "org/pets"
    card = card_of(run)
    assert front(card)["datasets"] == ["org/cc", "org/rows", "org/pairs", "org/few"]
    kinds = {each.dataset_name: each.dataset_type for each in ModelCard(card).data.eval_results}
    assert kinds == {"pets": "org/pets", "seen": "seen"}


def test_sizes_are_those_of_the_files(run: Run, hub: HubServer) -> None:
    run = with_onnx(run)
    card, size = card_of(run), measure(run.packed)
    for path, name in (
        (run.packed / "model.safetensors", "model.safetensors"),
        (run.onnx / "image_encoder.onnx", "onnx/image_encoder.onnx"),
    ):
        assert f"| `{name}` | {path.stat().st_size:,} |" in card
    assert f"| the same weights as float32 | {size.float32_bytes:,} |" in card
    assert f"is {size.float32_bytes / size.model_bytes:.1f} times smaller" in card
    assert f"{size.ternary_share:.1%} of its" in card


def test_weights_that_keep_more_bits_are_told(run: Run, hub: HubServer) -> None:
    assert "have 8 bits" not in card_of(run)
    clip = load_packed(run.packed)
    weight = clip.ternary.pop("text_projection.weight")
    clip.ints["text_projection.weight"] = IntTensor(weight.codes, weight.scale_RG, 8)  # the same numbers
    write_packed(clip, run.packed)
    share = weight.codes.numel() / measure(run.packed).num_weights
    assert f"scales included; {share:.1%} have 8 bits. Made with tclip" in card_of(run)


def test_before_and_after(run: Run, hub: HubServer) -> None:
    card = card_of(run)
    table = json.loads((run.results / "table.json").read_text())
    assert f"| {' | '.join(table['columns'])} |" in card
    for label, *cells in table["rows"]:
        row = f"| {label} | {' | '.join('' if cell is None else str(cell) for cell in cells)} |"
        assert (row in card) == any(cell is not None for cell in cells), row
    assert "Images measured on: pets 4, seen 5. Zero-shot, split `test`" in card


def test_what_was_not_measured_says_so(run: Run, hub: HubServer) -> None:
    run.forget(["eval"])
    card = card_of(run)
    assert "## Before and after\n\nNot measured: no evaluation was run on this model.\n" in card
    assert "model-index" not in front(card)


def test_only_the_packed_model_is_in_the_model_index(run: Run, hub: HubServer) -> None:
    (run.results / "packed" / "pets.json").unlink()
    assert {each.dataset_name for each in ModelCard(card_of(run)).data.eval_results} == {"seen"}


def test_the_recipe_is_in_it(run: Run, hub: HubServer) -> None:
    files, _ = prepare(run, Target("me/tiny"), Stated(), Collected())
    recipe = next(file.text() for file in files if file.path == "recipe.yaml")
    assert f"```yaml\n{recipe.rstrip()}\n```" in files[0].text()


def test_the_license_of_the_original_is_told(run: Run, hub: HubServer, tiny_folder, tmp_path) -> None:
    assert "## License\n\n`mit`, as the original, org/clip.\n" in card_of(run)
    assert "`apache-2.0`. The original, org/clip, is under `mit`.\n" in card_of(run, license="apache-2.0")
    more = "license_name: terms\nlicense_link: LICENSE.md\n"
    other = write_base(tiny_folder("clip"), tmp_path / "other", "other", more)
    hub.repos["models", BASE].folders["main"] = other
    card = card_of(run)
    link = "https://huggingface.co/org/clip/blob/main/LICENSE.md"
    data = front(card)
    assert (data["license"], data["license_name"], data["license_link"]) == ("other", "terms", link)
    assert f"[terms]({link}), as the original, org/clip.\n" in card


def test_a_local_original_has_no_id(run: Run, base: Path) -> None:
    run = with_recipe(run, model={"id": str(base)})
    card = card_of(run)
    assert "base_model" not in front(card)
    assert "\nclip as a **ternary CLIP**" in card
    assert str(base) not in card


def test_a_local_original_whose_id_is_stated(run: Run, base: Path, hub: HubServer) -> None:
    run = with_recipe(run, model={"id": str(base)})
    assert front(card_of(run, base_model=BASE))["base_model"] == BASE


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_blocks_that_are_programs(family: str) -> None:
    text = usage("me/tiny", "v2", family, ["onnx"])
    programs = PROGRAM.findall(text)
    for program in programs:
        compile(program, family, "exec")
        assert "v2" in program
    assert ("tclip classify" in text) == (family in ("clip", "siglip", "metaclip_2"))
    assert ('padding="max_length"' in text) == family.startswith("siglip")
    assert "onnxruntime" not in usage("me/tiny", None, family, [])


def test_the_program_for_files_that_take_bytes(run: Run, hub: HubServer) -> None:
    run = with_onnx(run)
    assert "do_normalize" not in card_of(run)
    card = card_of(with_recipe(run, export={"onnx": {"pixels": "uint8"}}))
    assert 'pixels = {"pixels": pixel_BCHW.transpose(0, 2, 3, 1).astype("uint8")}' in card
    for program in PROGRAM.findall(card):
        compile(program, "card", "exec")


def test_a_bar_in_a_name_does_not_end_its_cell() -> None:
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |"


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_the_programs_of_a_card_run(
    run: Run,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    from tclip.packed.load import load_packed

    here = load_packed(run.packed)
    run = with_recipe(run, export={"onnx": {"activations": "float"}})
    pixel_CE, token_VE = write_onnx(run, len(here.tokenizer))
    hub.log_in(monkeypatch, User("me"))
    push(run, Target("me/tiny"), Stated(), Collected())
    monkeypatch.delenv("HF_TOKEN")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    card = (hub.repos["models", "me/tiny"].folders["main"] / "README.md").read_text()
    printed = []
    for program in PROGRAM.findall(card):
        (tmp_path / "example.py").write_text(program)
        capsys.readouterr()
        runpy.run_path("example.py")
        printed.append(capsys.readouterr().out)
    ours, theirs, onnx = printed
    picture = here.preprocess([Image.open("photo.jpg").convert("RGB")])
    texts = here.tokenize(["a photo of a cat.", "a photo of a dog."])
    logits = here.logits(here.embed_images(picture), here.embed_texts(texts))
    for told in (ours, theirs):  # the runtime rounds to int8
        found = [float(number) for number in re.findall(r"\d+\.\d+", told)]
        assert sorted(found) == pytest.approx(sorted(logits.softmax(dim=1)[0].tolist()), abs=0.02), told
    image_BE = picture["pixel_values"].mean(dim=(2, 3)).numpy() @ pixel_CE
    expected_BL = image_BE @ token_VE[texts["input_ids"].numpy()].mean(axis=1).T
    found = [float(number) for number in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", onnx)]
    assert found == pytest.approx(expected_BL[0].tolist(), rel=1e-4), onnx
