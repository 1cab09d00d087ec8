"""What is shown of queries."""

from pathlib import Path

from PIL import Image

from tclip.data.eval_sets import open_eval
from tclip.evaluate.subject import FORMS
from tclip.progress import Collected
from tclip.recipe.schema import Eval
from tclip.report.findings import SHOWN, findings_section
from tclip.report.page import Absent, Section
from tclip.report.queries import average_overlap, search_set
from tclip.run import Run
from tests.data.making import multilabel_members, write_layout


def sections_of(run: Run, folder: Path, num_queries: int = 4, limit: int = 100) -> list[Section | Absent]:
    return findings_section(run, folder, num_queries=num_queries, limit=limit, progress=Collected())


def test_one_set_of_each_kind_is_shown(run: Run, tmp_path: Path) -> None:
    found = sections_of(run, tmp_path)
    assert [each.title.rpartition(" ")[2] for each in found] == ["seen", "zoo"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["queries-seen.png", "queries-zoo.png"]
    with Image.open(tmp_path / "queries-seen.png") as picture:
        assert picture.width > 1000


def test_hits_are_what_the_models_rank_first(run: Run, tmp_path: Path) -> None:
    section = sections_of(run, tmp_path)[0]
    assert isinstance(section, Section) and section.findings
    eval_set = open_eval(run.recipe.eval.data[0])
    subjects = [FORMS[form](run) for form in ("original", "packed")]
    searched = search_set(eval_set, subjects, limit=100, batch_size=64, progress=Collected())
    original, packed = (searched.rankings[form][:, :SHOWN] for form in ("original", "packed"))
    overlaps = average_overlap(original, packed).tolist()
    alike, apart = section.findings.values()
    assert [len(alike), len(apart)] == [2, 2]
    assert alike[0].agreement == max(overlaps) and apart[0].agreement == min(overlaps)
    for finding in (*alike, *apart):
        query = searched.queries.index(finding.query)
        for name, ranking, other in (("original", original, packed), ("ternary", packed, original)):
            hits = finding.rows[name]
            assert [hit.alt for hit in hits] == [searched.about[index] for index in ranking[query]]
            assert [hit.right for hit in hits] == [index == query for index in ranking[query]]
            assert [hit.shared for hit in hits] == [index in other[query] for index in ranking[query]]


def test_the_text_is_about_all_queries_not_the_shown_ones(run: Run, tmp_path: Path) -> None:
    few, many = (sections_of(run, tmp_path, num_queries)[0] for num_queries in (2, 12))
    assert isinstance(few, Section) and isinstance(many, Section)
    assert few.text == many.text
    assert "of all 12 queries" in few.text[0]


def test_the_limits_hold(run: Run, tmp_path: Path) -> None:
    section = sections_of(run, tmp_path, limit=6)[0]
    assert isinstance(section, Section) and "the first 6 images of seen" in section.text[0]
    eval = run.recipe.eval.model_copy(update={"limit": 5})
    limited = Run(run.folder, run.recipe.model_copy(update={"eval": eval}))
    section = sections_of(limited, tmp_path, limit=6)[0]
    assert isinstance(section, Section) and "the first 5 images of seen" in section.text[0]


def zoo_of(run: Run, folder: Path, **texts: str) -> Run:
    """The run with three multilabel images, of which the first two show no class."""
    members = multilabel_members([[0, 0], [0, 0], [1, 0]])
    texts = {"classnames": "cat\ndog\n", "zeroshot_classification_templates": "a {c}\n"} | texts
    zoo = write_layout(folder / "zoo", {"test": [members]}, dataset_type="multilabel", **texts)
    eval = run.recipe.eval.model_copy(update={"data": (str(zoo),)})
    return Run(run.folder, run.recipe.model_copy(update={"eval": eval}))


def test_images_that_show_no_class_are_no_section(run: Run, tmp_path: Path) -> None:
    (absent,) = sections_of(zoo_of(run, tmp_path), tmp_path, limit=2)
    assert isinstance(absent, Absent)
    assert absent.why == "the first 2 images of zoo show none of its classes"


def test_letters_that_no_font_has_are_named_once(run: Run, tmp_path: Path) -> None:
    (section,) = sections_of(zoo_of(run, tmp_path, classnames="\U0010ffff\U0010ffff cat\ndog\n"), tmp_path)
    assert isinstance(section, Section)
    assert section.text[1].endswith("question marks stand for characters that no font here has: \U0010ffff")


def test_without_data_the_command_is_named(run: Run, tmp_path: Path) -> None:
    (absent,) = sections_of(Run(run.folder, run.recipe.model_copy(update={"eval": Eval()})), tmp_path)
    assert isinstance(absent, Absent) and absent.command == "tclip eval RUN --data DIR"
