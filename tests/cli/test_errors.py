"""Exceptions of libraries become sentences; anything else stays what it is."""

import errno
from importlib import import_module

import pytest

from tclip.cli.errors import known_failure


def test_a_damaged_safetensors_file(tmp_path):
    import safetensors

    file = tmp_path / "model.safetensors"
    file.write_bytes(b"foreign bytes")
    with pytest.raises(safetensors.SafetensorError) as caught:
        safetensors.safe_open(file, framework="np")
    assert "safetensors file is damaged" in known_failure(caught.value)


def test_a_model_that_onnxruntime_refuses():
    import onnxruntime

    with pytest.raises(Exception) as caught:
        onnxruntime.InferenceSession(b"foreign bytes")
    assert "ONNX Runtime refuses" in known_failure(caught.value)


def test_errors_of_the_hub_and_their_subclasses():
    from huggingface_hub import errors

    assert "Hub cannot be reached" in known_failure(errors.LocalEntryNotFoundError("x"))
    assert "HF_HUB_OFFLINE" in known_failure(errors.OfflineModeIsEnabled("x"))


def test_the_network():
    # the client's own base class tells which HTTP library is installed
    from huggingface_hub.errors import HfHubHTTPError

    library = import_module(HfHubHTTPError.__mro__[1].__module__)
    sentence = known_failure(library.ConnectError("refused\n twice"))
    assert "network failed" in sentence
    assert sentence.endswith("refused twice")


def test_memory():
    import torch

    assert "batch_size" in known_failure(torch.OutOfMemoryError("CUDA out of memory"))
    assert "batch_size" in known_failure(MemoryError())


def test_the_system():
    denied = known_failure(PermissionError(errno.EACCES, "Permission denied", "/root/x"))
    assert "Permission denied" in denied
    assert "/root/x" in denied
    assert "full" in known_failure(OSError(errno.ENOSPC, "No space left on device"))


def test_a_full_disk_is_no_damaged_file():
    """As safetensors puts it, which has the system's number in its words alone."""
    from safetensors import SafetensorError

    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert known_failure(full) == known_failure(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("bug", [ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), RuntimeError("x")])
def test_what_may_be_a_bug_is_no_known_failure(bug):
    assert known_failure(bug) is None
