import pytest

from tclip.data.eval_sets import open_eval
from tclip.data.hub import HubSpec, parse
from tclip.data.lengths import lengths
from tclip.data.pairs import open_pairs
from tclip.data.stream import PairStream
from tclip.errors import DataError
from tests.hub_server import Fault, HubServer

from .making import class_members, pair_members, write_layout, write_tar


@pytest.fixture
def hub(tmp_path, monkeypatch):
    shards = tmp_path / "shards"
    for number in range(3):
        write_tar(shards / f"cc-train-{number}.tar", pair_members(range(number * 9, number * 9 + 9)))
    write_tar(shards / "cc-validation-0.tar", pair_members([99]))
    (shards / "README.md").write_text("cc")
    layout = write_layout(
        tmp_path / "wds_two",
        {"test": [class_members([1, 0, 1])]},
        classnames="cat\ndog\n",
        zeroshot_classification_templates="a {c}\n",
    )
    with HubServer(datasets={"org/cc": shards, "org/wds_two": layout}) as server:
        server.connect(monkeypatch, tmp_path / "cache")
        yield server


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("hf://a/b", HubSpec("a/b", None, None)),
        ("hf://datasets/a/b", HubSpec("a/b", None, None)),
        ("hf://a/b@v1/x/*.tar", HubSpec("a/b", "v1", "x/*.tar")),
        ("hf://datasets/a/b@refs/pr/1/*.tar", HubSpec("a/b", "refs/pr/1", "*.tar")),
        ("hf://a/b@refs%2Fpr%2F1", HubSpec("a/b", "refs/pr/1", None)),
    ],
)
def test_addresses_are_taken_apart(spec, parts):
    assert parse(spec) == parts


@pytest.mark.parametrize("spec", ["hf://", "hf://a", "hf://a/", "hf://../b", "hf:///a/b"])
def test_what_is_no_address_is_refused(spec):
    with pytest.raises(DataError, match="no address of Hub data"):
        open_pairs(spec)


@pytest.mark.parametrize(
    "spec", ["hf://org/cc", "hf://datasets/org/cc", "org/cc", "hf://org/cc/cc-train-*.tar"]
)
def test_shards_of_a_split_are_streamed(hub, spec, tmp_path):
    source = open_pairs(spec)
    source.check()
    assert [sample.captions[0] for sample in source] == [f"picture {number}" for number in range(27)]
    assert hub.fetched("org/cc") == [f"cc-train-{number}.tar" for number in range(3)]
    assert not (tmp_path / "cache").exists()


def test_a_whole_stream_runs_over_the_hub(hub):
    stream = PairStream([open_pairs("org/cc")], shuffle_buffer=5)
    assert len({sample.key for sample in stream.epoch(0)}) == 27


def test_shards_tell_their_lengths_by_their_sizes(hub, tmp_path):
    for number, length in enumerate((60, 30, 240)):
        write_tar(tmp_path / f"sized/train/{number}.tar", pair_members(range(length)))
    hub.add("org/sized", tmp_path / "sized", kind="datasets")
    told = lengths(open_pairs("org/sized").shards())
    assert told == lengths(open_pairs(str(tmp_path / "sized")).shards())
    assert told[0] == 60 and abs(told[1] - 30) <= 6 and abs(told[2] - 240) <= 24
    assert hub.fetched("org/sized") == ["train/0.tar"], "one of them is looked into"


def test_a_hub_that_does_not_tell_sizes_is_named(hub):
    shards = open_pairs("org/cc").shards()
    hub.faults = [Fault("", status=500)]
    with pytest.raises(DataError, match='no answer for the data set "org/cc"'):
        lengths(shards)


def test_a_broken_connection_is_taken_up_where_it_broke(hub, tmp_path):
    members = [*pair_members(range(60)), ("big.jpg", bytes(300000)), ("big.txt", b"x")]
    write_tar(tmp_path / "big/0.tar", members)
    hub.add("org/big", tmp_path / "big", kind="datasets")
    whole = list(open_pairs("org/big"))
    hub.faults = [Fault("0.tar", drop_after=250_000, times=1)]
    assert list(open_pairs("org/big")) == whole
    ranges = [request.range for request in hub.requests if request.range]
    assert len(ranges) == 1 and 150_000 < int(ranges[0].strip("bytes=-")) <= 250_000


def test_a_connection_that_stays_broken_is_named(hub):
    source = open_pairs("org/cc")
    hub.faults = [Fault("cc-train-1.tar", status=500)]
    with pytest.raises(DataError, match=r'The Hub gave no answer for the data set "org/cc"'):
        list(source)


def test_revisions_are_pinned_to_a_commit(hub, tmp_path):
    other = tmp_path / "other"
    write_tar(other / "0.tar", pair_members([5]))
    hub.add("org/cc", other, "v2", kind="datasets")
    first, second = open_pairs("org/cc"), open_pairs("hf://org/cc@v2")
    assert [sample.captions[0] for sample in second] == ["picture 5"]
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == open_pairs("hf://org/cc@main").fingerprint()
    paths = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert all("/resolve/main/" not in path and "/resolve/v2/" not in path for path in paths)


def test_evaluation_sets_come_from_the_hub(hub):
    found = open_eval("hf://org/wds_two")
    found.check()
    assert (found.name, found.task) == ("wds_two", "zeroshot_classification")
    assert [sample.classes for sample in found] == [(1,), (0,), (1,)]


def test_a_pattern_that_matches_nothing_is_named(hub):
    with pytest.raises(DataError, match=r'no tar shard like "\*\.parquet", among 4'):
        open_pairs("hf://org/cc/*.parquet")


def test_what_is_not_there_is_told_by_name(hub, tmp_path):
    with pytest.raises(DataError, match=r'"org/nothing" is no data set on the Hub'):
        open_pairs("org/nothing")
    with pytest.raises(DataError, match=r'has no revision "v9"'):
        open_pairs("hf://org/cc@v9")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.parquet").write_bytes(b"x")
    hub.add("org/rows", tmp_path / "plain", kind="datasets")
    with pytest.raises(
        DataError, match="holds no tar shards: for other kinds of data sets write datasets://"
    ):
        open_pairs("org/rows")


def test_gated_data_tell_the_way_in(hub):
    source = open_pairs("org/cc")
    hub.repos["datasets", "org/cc"].gated = True
    with pytest.raises(DataError, match=r'"org/cc" is gated: accept its terms'):
        source.check()


def test_offline_is_told(hub, monkeypatch):
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    close_session()
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        open_pairs("org/cc")


def test_no_network_is_told(hub):
    hub.close()
    with pytest.raises(DataError, match="Is the network up"):
        open_pairs("org/cc")
