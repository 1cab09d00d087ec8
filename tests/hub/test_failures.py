"""What can go wrong on the way to the Hub: one sentence each, and running the command again completes it."""

import json
import threading

import pytest

from tclip.errors import HubError, UserError
from tclip.hub.push import Stated, Target, push
from tclip.progress import Collected
from tclip.run import Run
from tests.hub.making import close_client, with_onnx, write_base
from tests.hub_repos import User, sha256
from tests.hub_server import Fault, HubServer
from tests.hub_uploads import Answer, uploaded

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def me(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The Hub, logged in as me."""
    hub.log_in(monkeypatch, User("me"))
    return hub


def pushed(run: Run, repo_id: str = "me/tiny", private: bool = False) -> Collected:
    progress = Collected()
    push(run, Target(repo_id, None, private), Stated(), progress)
    return progress


def refusal(run: Run, repo_id: str = "me/tiny") -> str:
    """The sentence with which a push is refused as its user's mistake."""
    with pytest.raises(UserError) as caught:
        pushed(run, repo_id)
    assert caught.value.exit_code == 2
    return one_line(str(caught.value))


def failure(run: Run) -> str:
    """The sentence with which a push fails by nobody's mistake."""
    with pytest.raises(HubError) as caught:
        pushed(run)
    assert caught.value.exit_code == 1
    return one_line(str(caught.value))


def one_line(sentence: str) -> str:
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


def test_no_token(run: Run, hub: HubServer) -> None:
    assert "Pushing needs a token that may write: log in with `hf auth login`" in refusal(run)


def test_a_token_that_the_hub_does_not_know(
    run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mistyped")
    assert "The Hub does not know the token" in refusal(run)


def test_a_token_that_may_only_read(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.log_in(monkeypatch, User("me", role="read"))
    assert 'The token "a token" of me may only read: make one that may write' in refusal(run)
    assert [r.path for r in hub.requests if r.method == "POST"] == []


def test_a_name_space_of_somebody_else(run: Run, me: HubServer) -> None:
    sentence = refusal(run, "lab/tiny")
    assert "You may not write to lab/tiny (You don't have the rights to create a model under" in sentence
    assert ("models", "lab/tiny") not in me.repos


def test_a_repository_of_somebody_else(run: Run, me: HubServer, tmp_path) -> None:
    (tmp_path / "theirs").mkdir()
    me.add("lab/tiny", tmp_path / "theirs")
    assert "You may not write to lab/tiny (Forbidden" in refusal(run, "lab/tiny")
    assert uploaded(me.repos["models", "lab/tiny"]) == {}


def test_a_private_repository_of_somebody_else(run: Run, me: HubServer, tmp_path) -> None:
    (tmp_path / "theirs").mkdir()
    me.add("lab/tiny", tmp_path / "theirs").private = True
    assert "You may not write to lab/tiny" in refusal(run, "lab/tiny")


@pytest.mark.parametrize("files", [("config.json",), ("pytorch_model.bin",), ("model.safetensors",)])
def test_a_name_that_holds_another_model(run: Run, me: HubServer, tmp_path, files) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    me.add("me/tiny", folder)
    assert "me/tiny is taken: it holds a model that is not tclip's" in refusal(run)
    assert me.uploads.commits == {}


def test_a_name_that_holds_a_ternary_model_of_another_original(run: Run, me: HubServer) -> None:
    pushed(run)
    config = me.repos["models", "me/tiny"].folders["main"] / "config.json"
    document = json.loads(config.read_text())
    document["quantization_config"]["base_model"]["id"] = "org/another"
    config.write_text(json.dumps(document))
    sentence = refusal(run)
    assert "it holds a ternary org/another, and this run is a ternary org/clip; give another name" in sentence


def test_a_data_set_of_the_same_name_is_no_clash(run: Run, me: HubServer, tmp_path) -> None:
    """The Hub keeps models and data sets apart."""
    (tmp_path / "data").mkdir()
    me.add("me/tiny", tmp_path / "data", kind="datasets")
    pushed(run)
    assert "model.safetensors" in uploaded(me.repos["models", "me/tiny"])


def test_a_repository_that_was_made_by_hand_is_filled(run: Run, me: HubServer, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    me.add("me/tiny", tmp_path / "mine")
    pushed(run)
    assert (me.repos["models", "me/tiny"].folders["main"] / "README.md").read_text().startswith("---\n")


def test_no_network(run: Run, me: HubServer) -> None:
    pushed(run)  # the original's card is in the cache now, and with it the license
    me.close()
    close_client()
    sentence = failure(run)
    assert "The connection to the Hub broke while asking who you are (" in sentence
    assert "run the command again" in sentence


def test_offline(run: Run, me: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import close_session, constants

    pushed(run)
    close_session()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set, and pushing needs the Hub: unset it." in refusal(run)


def test_a_connection_cut_in_mid_upload(run: Run, me: HubServer) -> None:
    run = with_onnx(run)
    model = sha256((run.packed / "model.safetensors").read_bytes())
    fault = Fault(model, cut_after=1000)
    me.faults.append(fault)
    sentence = failure(run)
    assert "The connection to the Hub broke while sending the files" in sentence
    assert me.uploads.commits == {}  # nothing half done is to be seen
    arrived = me.sent()
    assert sorted(arrived) == sorted(sha256(path.read_bytes()) for path in run.onnx.glob("*.onnx"))
    fault.times = 0
    me.requests.clear()
    pushed(run)
    assert me.sent() == [model]  # and what has arrived was not sent again
    assert me.uploads.commits == {"me/tiny": 1}


def test_a_connection_cut_once_is_not_even_told(run: Run, me: HubServer) -> None:
    me.faults.append(Fault("", cut_after=1000, times=1))
    pushed(run)
    assert me.uploads.commits == {"me/tiny": 1}


@pytest.mark.parametrize("where", ["/preupload/main", "/objects/batch", "/objects/verify"])
def test_a_server_that_fails_once_is_asked_again(run: Run, me: HubServer, where: str) -> None:
    me.faults.append(Fault(where, status=503, times=1))
    pushed(run)
    assert me.uploads.commits == {"me/tiny": 1}


@pytest.mark.parametrize(
    ("where", "doing"),
    [
        ("/whoami-v2", "asking who you are"),
        ("/repos/create", "making the repository"),
        ("/commit/main", "sending the files"),
        ("/objects/batch", "sending the files"),
    ],
)
def test_a_server_that_goes_on_failing(run: Run, me: HubServer, where: str, doing: str) -> None:
    fault = Fault(where, status=503)
    me.faults.append(fault)
    assert f"The Hub failed while {doing} (503" in failure(run)
    assert me.uploads.commits == {}
    fault.times = 0
    pushed(run)
    assert me.uploads.commits == {"me/tiny": 1}


def test_a_commit_whose_answer_is_lost(run: Run, me: HubServer) -> None:
    me.faults.append(Fault("/commit/main", lose_answer=True, times=1))
    assert "broke while sending the files" in failure(run)
    assert me.uploads.commits == {"me/tiny": 1}
    told = dict(pushed(run).tables[-1].rows)
    assert me.uploads.commits == {"me/tiny": 1}
    assert (told["files sent"], told["hashes compared"] > 10) == (0, True)


def test_somebody_else_is_faster(run: Run, me: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking at the repository and the commit, another commit."""
    pushed(run)
    run = with_onnx(run)
    other = threading.Event()
    preupload = me.uploads.preupload

    def slow(token, repo, revision, body):
        if not other.is_set():
            other.set()
            (repo.folders["main"] / "README.md").write_text("by somebody else")
        return preupload(token, repo, revision, body)

    monkeypatch.setattr(me.uploads, "preupload", slow)
    assert "Somebody else changed me/tiny while sending the files" in failure(run)
    pushed(run)
    assert "onnx/image_encoder.onnx" in uploaded(me.repos["models", "me/tiny"])


def test_a_card_that_the_hub_refuses(run: Run, me: HubServer, tiny_folder, tmp_path) -> None:
    me.repos["models", "org/clip"].folders["main"] = write_base(
        tiny_folder("clip"), tmp_path / "odd", "unheard-of"
    )
    sentence = refusal(run)
    assert "The Hub refuses the front matter of the card (another --license may help)" in sentence
    assert '"license" must be one of [mit, ' in sentence
    assert me.uploads.commits == {}


def test_a_name_that_is_taken_by_what_cannot_be_seen(run: Run, me: HubServer) -> None:
    me.faults.append(Fault("/repos/create", status=409))
    assert "me/tiny is taken by a repository that your token may not see: give another name" in refusal(run)


def test_a_large_file_that_is_refused(run: Run, me: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(token, repo, body):
        error = {"code": 507, "message": "Storage quota exceeded"}
        asked = json.loads(body)["objects"]
        return Answer(200, {"objects": [{**each, "error": error} for each in asked]})

    monkeypatch.setattr(me.uploads, "batch", full)
    assert "The Hub refuses large files: " in (sentence := refusal(run))
    assert "Storage quota exceeded" in sentence


def test_a_bug_is_not_called_a_failure_of_the_hub(run: Run, me: HubServer, monkeypatch) -> None:
    def wrapped(*_: object, **__: object) -> None:
        raise RuntimeError("Error while uploading") from KeyError("a bug")

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", wrapped)
    with pytest.raises(RuntimeError, match="Error while uploading"):
        pushed(run)
