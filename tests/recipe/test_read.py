import subprocess
import sys
from pathlib import Path

import pytest

from tclip.errors import RecipeError
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write_file(text, name="mine.yaml"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_file


def mistakes(source, overrides=()):
    with pytest.raises(RecipeError) as caught:
        read_recipe(source, overrides)
    return str(caught.value)


def test_the_least_recipe_is_all_defaults(write):
    assert read_recipe(write("schema: 1\n")) == Recipe(name="mine")


def test_values_of_a_file(write):
    recipe = read_recipe(
        write(
            "schema: 1\nname: other\nmodel: {id: ViT-B-32}\nteacher: {cache: off}\n"
            "data: {train: pairs}\ntrain: {steps: 10, lr: 1e-4}\nexport: {onnx: null}\n"
        )
    )
    assert recipe.name == "other"
    assert recipe.teacher.cache is False
    assert recipe.data.train == ("pairs",)
    assert recipe.train and recipe.train.lr == 1e-4
    assert recipe.export.onnx is None


# One mistake each: (document after `schema: 1`, all that the sentence must say).
WRONG = [
    (
        "trian: {}",
        ["mine.yaml:2:1:", 'unknown key "trian"', 'mean "train"', "Keys of the document: schema, name"],
    ),
    ("extend: paper", ["mine.yaml:2:1:", 'mean "extends"']),
    ("schema_version: 1", ['unknown key "schema_version"']),
    ("lr: 0.1", ["mine.yaml:2:1:", 'unknown key "lr"', '"lr" is a key elsewhere: train.lr.']),
    (
        "train:\n  steps: 5\n  learning_rate: 1",
        ["mine.yaml:4:3:", '"train.learning_rate"', 'Keys of "train": steps,'],
    ),
    (
        "train: {steps: 5, losses: {fature: 1}}",
        ["mine.yaml:2:28:", '"train.losses.fature"', 'mean "feature"'],
    ),
    ("export: {onnx: {smaples: 3}}", ["mine.yaml:2:17:", '"export.onnx.smaples"', 'mean "samples"']),
    ("data:\n  views: 100", ["mine.yaml:3:3: data.views: expected a whole number from 1 to 64, found 100."]),
    ("data: {min_crop: 0}", ["data.min_crop: expected a number above 0 and at most 1, found 0."]),
    ("data: {text_tokens: 2}", ["data.text_tokens: expected a whole number of at least 4 or null, found 2."]),
    ("data: {train: 7}", ["data.train: expected a list whose items are text, found 7."]),
    ("data:\n  train:\n  - a\n  - [b]", ["mine.yaml:5:5: data.train[1]: expected text, found a list of 1."]),
    ("train: {steps: 5, lr: 0}", ["train.lr: expected a number above 0 and at most 1, found 0."]),
    (
        "train: {steps: 5, lr: fast}",
        ['train.lr: expected a number above 0 and at most 1, found the text "fast".'],
    ),
    ("train: {steps: 5, grad_clip: .inf}", ["train.grad_clip: expected a number above 0, found inf."]),
    ("train: {steps: 5, grad_clip: .nan}", ["train.grad_clip: expected a number above 0, found nan."]),
    ("train: {steps: 5, seed: true}", ["train.seed: expected a whole number of at least 0, found true."]),
    ("train: {steps: 5, lr: true}", ["train.lr: expected a number", "found true."]),
    ("train: {steps: 1.5}", ["train.steps: expected a whole number of at least 1 or null, found 1.5."]),
    (
        "train: {steps: 5, losses: {feature: -1}}",
        ["losses.feature: expected a number of at least 0, found -1."],
    ),
    ("train: {lr: 0.1}", ["mine.yaml:2:1: train: give either steps or minutes"]),
    ("train: {steps: 5, minutes: 5}", ["mine.yaml:2:1: train: give either steps or minutes"]),
    ("train: {steps: 5, warmup: 0.6, recovery: 0.6}", ["train: warmup and recovery together exceed"]),
    ("train: {steps: 5, losses: {feature: 0}}", ["mine.yaml:2:19: train.losses: every loss has weight 0"]),
    ("train: 5", ["train: expected a section (keys: steps,", "or null, found 5."]),
    ("model: null", ["mine.yaml:2:1: model: expected a section (keys: id, revision), found null."]),
    ("model: [a]", ["model: expected a section", "found a list of 1."]),
    (
        "model:\n  revision: 1234567",
        ["mine.yaml:3:3: model.revision: expected text or null, found 1234567.", "quotes"],
    ),
    ("name: {a: 1}", ["name: expected text, found a section with keys a."]),
    ("name: {}", ["name: expected text, found an empty section."]),
    ("teacher: {cache: maybe}", ['teacher.cache: expected true or false, found the text "maybe".']),
    ("quantize: {quantizer: lerned}", ["expected one of absmean, clip2,", '"lerned"', 'mean "learned"']),
    ("quantize: {scale: 'group:0'}", ["quantize.scale: expected tensor, row, or group:N", 'text "group:0".']),
    ("quantize: {image: {preset: fnn}}", ["quantize.image.preset: expected one of none, ffn", 'mean "ffn"']),
    (
        "quantize:\n  image: ffn",
        ["mine.yaml:3:3: quantize.image: expected a section (keys: preset, include, exclude)"],
    ),
    (
        "quantize:\n  bits:\n    '*.fc1.weight': 5",
        ["mine.yaml:4:5: quantize.bits.*.fc1.weight: expected one of 4, 8, found 5."],
    ),
    ("quantize: {bits: {'*': eight}}", ["quantize.bits.*: expected one of 4, 8", 'text "eight".']),
    ("quantize: {bits: {'*': true}}", ["quantize.bits.*: expected one of 4, 8, found true."]),
    ("quantize: {bits: 8}", ["quantize.bits: expected a mapping of names to one of 4, 8, found 8."]),
    (
        "quantize: {budget: 35}",
        ["quantize.budget: expected a size such as 35MB, or 115%", "or null, found 35."],
    ),
    ("quantize: {budget: 99%}", ["quantize.budget: 100% is the size with every weight ternary"]),
    ("quantize: {budget: 35MB, max_cost: 0.1}", ["quantize: give either budget or max_cost"]),
    ("quantize: {max_cost: 0}", ["quantize.max_cost: expected a number above 0"]),
    ("quantize: {budget: 35mb}", ["quantize.budget: expected a size such as 35MB", 'text "35mb".']),
    ("eval: {forms: [orignal]}", ["mine.yaml:2:16: eval.forms[0]:", 'mean "original"']),
    (
        "calibrate:\n  method: gptq\nquantize:\n  quantizer: mse",
        ["mine.yaml:5:3: quantize.quantizer mse derives"],
    ),
    ("name: a\nname: b", ["mine.yaml:3:1:", "name is given twice", "mine.yaml:2:1"]),
    (
        "extends: papre",
        ["mine.yaml:2:1: extends:", 'Unknown recipe "papre"', 'mean "paper"', "no such file papre"],
    ),
    ("extends: ./gone.yaml", ["mine.yaml:2:1: extends: No such recipe file: gone.yaml."]),
    ("extends: [a, b]", ["mine.yaml:2:1: extends: expected the name or path of one recipe."]),
    ("extends: mine.yaml", ["mine.yaml:2:1: extends goes in a circle: mine.yaml -> mine.yaml."]),
]


@pytest.mark.parametrize(("text", "fragments"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_one_mistake_one_sentence(write, text, fragments):
    said = mistakes(write(f"schema: 1\n{text}\n"))
    assert "\n" not in said
    assert all(fragment in said for fragment in fragments), said
    assert "pydantic" not in said
    assert "Input should" not in said


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("model: {}", ["mine.yaml:1:1:", "schema is missing: write `schema: 1`"]),
        (
            "model: {}\nschema: 2",
            ["mine.yaml:2:1:", "written for schema 2, this tclip reads schema 1", "update"],
        ),
        ("schema: one", ["mine.yaml:1:1: schema: expected 1, found 'one'."]),
        ("schema: true", ["schema: expected 1, found True."]),
        ("schema: 0", ["schema: expected 1, found 0."]),
        ("schema:", ["schema: expected 1, found None."]),
    ],
)
def test_schema_number(write, text, fragments):
    said = mistakes(write(text))
    assert all(fragment in said for fragment in fragments), said


def test_a_whole_number_written_with_a_point_is_understood(write):
    recipe = read_recipe(write("schema: 1\ntrain: {steps: 1e3}"))
    assert recipe.train and recipe.train.steps == 1000


def test_all_mistakes_at_once(write):
    write("schema: 1\ndata: {views: 0}\nmodle: {}\n", "base.yaml")
    path = write("extends: base.yaml\nname: a\nname: b\ntrain: {steps: 5, seed: true, lr: 2}\n")
    said = mistakes(path, ["calibrate.pairs=0", "nonsense"])
    lines = said.splitlines()
    assert lines[0] == "The recipe mine.yaml has 8 mistakes:"
    expected = [
        "mine.yaml:3:1: the key name is given twice",
        "mine.yaml:1:1: the key schema is missing",
        "--set nonsense: write --set KEY=VALUE",
        "mine.yaml:4:19: train.seed:",
        "base.yaml:2:8: data.views:",
        "--set calibrate.pairs=0: calibrate.pairs:",
        "mine.yaml:4:31: train.lr:",
        'base.yaml:3:1: unknown key "modle"',
    ]
    assert len(lines) == 1 + len(expected)
    assert all(any(line.startswith(f"  {start}") for line in lines) for start in expected), said


def test_extends_merges_sections_and_replaces_the_rest(write):
    write(
        "schema: 1\nname: base\ndata: {train: [a, b], views: 3}\ntrain: {steps: 5, lr: 0.5}\n",
        "deep/base.yaml",
    )
    write("schema: 1\nextends: base.yaml\ntrain: {lr: 0.25}\nteacher: {id: big}\n", "deep/middle.yaml")
    recipe = read_recipe(
        write("schema: 1\nextends: deep/middle.yaml\ndata: {train: [c]}\nteacher: {id: null}\n")
    )
    assert recipe.name == "mine"
    assert recipe.data.train == ("c",)
    assert recipe.data.views == 3
    assert recipe.train and (recipe.train.steps, recipe.train.lr) == (5, 0.25)
    assert recipe.teacher.id is None


def test_null_turns_an_inherited_section_off_and_an_override_turns_it_on(write):
    write("schema: 1\ntrain: {steps: 5}\n", "base.yaml")
    path = write("schema: 1\nextends: base.yaml\ntrain: null\n")
    assert read_recipe(path).train is None
    turned_on = read_recipe(path, ["train.steps=7"]).train
    assert turned_on and turned_on.steps == 7


def test_extends_a_shipped_recipe_whatever_lies_beside_the_file(write):
    write("schema: 1\ndata: {views: 9}\n", "paper")
    write("schema: 1\ndata: {views: 9}\n", "paper.yaml")
    by_name = read_recipe(write("schema: 1\nextends: paper\n"))
    assert by_name == read_recipe("paper").model_copy(update={"name": "mine"})
    assert read_recipe(write("schema: 1\nextends: paper.yaml\n")).data.views == 9
    assert read_recipe(write("schema: 1\nextends: ./paper\n")).data.views == 9


def test_a_circle_names_its_chain(write):
    write("schema: 1\nextends: ../b.yaml\n", "sub/c.yaml")
    write("schema: 1\nextends: sub/c.yaml\n", "b.yaml")
    said = mistakes(write("schema: 1\nextends: b.yaml\n", "a.yaml"))
    assert "extends goes in a circle: a.yaml -> b.yaml -> sub/c.yaml -> sub/../b.yaml." in said
    assert said.startswith("sub/c.yaml:2:1:")


def test_a_newer_base_is_refused(write):
    write("schema: 3\n", "base.yaml")
    assert "base.yaml:1:1: the recipe is written for schema 3" in mistakes(
        write("schema: 1\nextends: base.yaml\n")
    )


def test_overrides_win_over_files_and_are_named_in_errors(write):
    path = write("schema: 1\ntrain: {steps: 5, lr: 0.5}\n")
    recipe = read_recipe(path, ["train.lr=1e-4", "name=quick", "data.train=a/*.tar"])
    assert recipe.train and recipe.train.lr == 1e-4
    assert (recipe.name, recipe.data.train) == ("quick", ("a/*.tar",))
    assert mistakes(path, ["train.lr=2"]).startswith("--set train.lr=2: train.lr: expected a number above 0")
    assert mistakes(path, ["trian.lr=2"]).startswith(
        '--set trian.lr=2: unknown key "trian". Did you mean "train"?'
    )
    assert mistakes(path, ["train.minutes=2"]).startswith("--set train.minutes=2: train: give either steps")
    swapped = read_recipe(path, ["train.minutes=2", "train.steps=null"]).train
    assert swapped and swapped.minutes == 2


def test_a_rule_between_sections_is_reported_where_its_key_was_written(write):
    path = write("schema: 1\ntrain: {steps: 5}\n")
    assert mistakes(path, ["quantize.quantizer=twn"]).startswith(
        "--set quantize.quantizer=twn: quantize.quantizer twn"
    )


def test_unknown_sources(write):
    write("schema: 1\n", "mine.yaml")
    said = mistakes("bset")
    assert said.startswith('Unknown recipe "bset". Did you mean "best"? Known: best, demo, mixed, ')
    assert said.endswith("If you meant a file: no such file bset.")
    assert 'No such recipe file: mien.yaml. Did you mean "mine.yaml"? Shipped recipes: best,' in mistakes(
        "mien.yaml"
    )
    assert "No such recipe file: no/where" in mistakes("no/where")
    Path("folder").mkdir()
    assert "folder is a folder" in mistakes("folder")


def test_sources_by_path(write):
    path = write("schema: 1\nname: by path\n", "best")
    assert read_recipe("best").name == "best"
    assert read_recipe("./best").name == read_recipe(path).name == "by path"
    write("schema: 1\n", "plain")
    assert read_recipe("plain").name == "plain"


def test_reading_is_light():
    """What takes seconds to import is not needed to read a recipe; tests/benchmarks measures the seconds."""
    code = (
        "import sys; from tclip.recipe.read import read_recipe; read_recipe('q-ffn', ['train.lr=1e-4']); "
        "print(*sorted({'torch', 'transformers', 'onnx', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_recipes_from_before_there_were_formats_mean_what_they_meant(write):
    onnx = read_recipe(write("schema: 1\nexport: {onnx: {activations: float, joint: true}}\n")).export.onnx
    assert (onnx.format, onnx.activations, onnx.pixels, onnx.joint) == ("base3", "float", "float", True)


def test_formats_of_onnx_are_words_of_a_list(write):
    said = mistakes(write("schema: 1\nexport: {onnx: {format: nbit, pixels: int8}}\n"))
    assert "export.onnx.format" in said and "one of base3, nbits" in said
    assert "export.onnx.pixels" in said and "one of float, uint8" in said
