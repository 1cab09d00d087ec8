"""A split that is brought from a Hub to a folder."""

import errno
from collections import Counter

import pytest
from huggingface_hub import errors
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from tclip.errors import DataError
from tclip.evaluate.suite.download import download_split
from tclip.progress import Collected
from tests.data.making import class_members, write_layout
from tests.hub_server import Fault, HubServer

SPEC = "hf://clip-benchmark/wds_two"
SPLITS = {"test": [class_members([1, 0]), class_members([0, 1])], "train": [class_members([0])]}


@pytest.fixture
def layout(tmp_path):
    files = {"classnames": "cat\ndog\n", "zeroshot_classification_templates": "a {c}\n"}
    return write_layout(tmp_path / "published", SPLITS, **files)


@pytest.fixture
def hub(layout, tmp_path, monkeypatch):
    with HubServer(datasets={"clip-benchmark/wds_two": layout}) as server:
        server.connect(monkeypatch, tmp_path / "cache")
        yield server


def contents(folder):
    """The files that a reader sees, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def times_sent(hub, name):
    return Counter(
        r.path.rsplit("/resolve/", 1)[-1].split("/", 1)[-1] for r in hub.requests if r.method == "GET"
    )[name]


def test_the_split_and_what_describes_it_are_brought_and_nothing_else(hub, layout, tmp_path):
    download_split(SPEC, tmp_path / "root/wds_two", "test", Collected())
    published = contents(layout)
    expected = {name: content for name, content in published.items() if not name.startswith("train/")}
    assert len(expected) == len(published) - 2
    assert contents(tmp_path / "root/wds_two") == expected
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["wds_two"]


@pytest.fixture(params=[False, True], ids=["bars", "muted"])
def muted(request):
    """Whether the client's bars were muted before, as transformers mutes them too."""
    before = are_progress_bars_disabled()
    (disable_progress_bars if request.param else enable_progress_bars)()
    yield request.param
    (disable_progress_bars if before else enable_progress_bars)()


def test_what_was_interrupted_goes_on_and_is_not_taken_for_whole(hub, layout, tmp_path, muted):
    folder = tmp_path / "root/wds_two"
    hub.faults = [Fault("test/1.tar", status=500)]
    with pytest.raises(DataError, match=r'The Hub gave no answer for the data set "clip-benchmark/wds_two"'):
        download_split(SPEC, folder, "test", Collected())
    assert not folder.exists()
    assert are_progress_bars_disabled() == muted
    hub.faults = []
    download_split(SPEC, folder, "test", Collected())
    assert times_sent(hub, "test/0.tar") == 1
    assert contents(folder)["test/1.tar"] == (layout / "test/1.tar").read_bytes()


def test_a_hub_that_falls_silent_is_no_spelling_mistake(hub, tmp_path, monkeypatch):
    def silent(*_, **__):
        raise errors.LocalEntryNotFoundError("connection error")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", silent)
    with pytest.raises(DataError, match=r"gave no answer .* is the network up"):
        download_split(SPEC, tmp_path / "root/wds_two", "test", Collected())


def test_a_folder_that_cannot_be_written_is_named(hub, tmp_path):
    (tmp_path / "root").write_text("a file")
    message = r"Bringing clip-benchmark/wds_two to .*root/wds_two failed \(.*(Not a directory|File exists)"
    with pytest.raises(DataError, match=message):
        download_split(SPEC, tmp_path / "root/wds_two", "test", Collected())


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("Xet: broken\npipe")]
)
def test_a_failure_of_disk_or_client_is_one_sentence(hub, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(
        DataError, match=r"\((.*No space left.*|Xet: broken)\): the same command goes on"
    ) as told:
        download_split(SPEC, tmp_path / "root/wds_two", "test", Collected())
    assert "\n" not in str(told.value)


def test_progress_counts_the_files(hub, tmp_path):
    class Told(Collected):
        def begin(self, what, total=None):
            self.notes.append((what, total))

        def update(self, done, total=None, **facts):
            assert are_progress_bars_disabled()  # the client's own would write across these
            self.notes.append(done)

    told = Told()
    download_split(SPEC, tmp_path / "root/wds_two", "test", told)
    assert told.notes == [("download clip-benchmark/wds_two", 5), 1, 2, 3, 4, 5]
