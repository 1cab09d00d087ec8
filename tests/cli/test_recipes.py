"""`tclip recipes`."""

import json

SHIPPED = ("best", "demo", "mixed", "mixed-ptq", "paper", "ptq", "q-attn", "q-ffn", "vit-b-16", "vit-b-32")


def test_list(tclip):
    outcome = tclip("recipes", "list")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()[3:] if line] == list(SHIPPED)


def test_list_for_machines(tclip):
    table = json.loads(tclip("recipes", "list", "--json").out)
    assert table["event"] == "table"
    assert [row[0] for row in table["rows"]] == list(SHIPPED)


def test_show_is_the_file_itself_and_validates(tclip, tmp_path):
    outcome = tclip("recipes", "show", "q-ffn")
    assert outcome.out.startswith("# TernaryCLIP Q-FFN")
    file = tmp_path / "mine.yaml"
    file.write_text(outcome.out, encoding="utf-8")
    assert "is valid" in tclip("recipes", "validate", str(file)).out


def test_validate_for_machines_gives_the_resolved_recipe(tclip):
    outcome = tclip("recipes", "validate", "ptq", "--set", "calibrate.pairs=77", "--json")
    resolved = json.loads(outcome.out)
    assert (resolved["name"], resolved["schema"], resolved["calibrate"]["pairs"]) == ("ptq", 1, 77)


def test_an_unknown_recipe_gets_a_suggestion(tclip):
    outcome = tclip("recipes", "show", "papr")
    assert (outcome.code, outcome.out) == (2, "")
    assert 'Did you mean "paper"?' in outcome.err


def test_a_typo_in_a_recipe_is_named_with_its_line(tclip, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("schema: 1\nextends: best\ntrain:\n  stepz: 10\n", encoding="utf-8")
    outcome = tclip("recipes", "validate", str(file))
    assert outcome.code == 2
    assert "mine.yaml:4" in outcome.err
    assert "steps" in outcome.err


def test_what_contradicts_itself_is_not_valid(tclip):
    outcome = tclip(
        "recipes", "validate", "ptq", "--set", "data.images=[]", "--set", "eval.forms=[packed, trained]"
    )
    assert outcome.code == 2
    assert "data.images is empty" in outcome.err
    assert "asks for trained but train is null" in outcome.err
