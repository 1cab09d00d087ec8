"""Exceptions of the libraries and the system that a user can do something about, as sentences.

Classes are known by their qualified names: importing the libraries only to compare with their classes
would cost seconds, and what was never imported was never raised.
"""

import errno
import re
from typing import Final

from tclip.errors import did_you_mean

INTERRUPTED: Final = 130

_BY_CLASS: Final[dict[str, str]] = {
    "huggingface_hub.errors.GatedRepoError": (
        "The Hub says that the repository is gated: accept its terms there, then log in with `hf auth login`."
    ),
    "huggingface_hub.errors.RepositoryNotFoundError": (
        "The Hub has no such repository (or it is private: log in with `hf auth login`): {error}"
    ),
    "huggingface_hub.errors.RevisionNotFoundError": "The Hub has no such revision: {error}",
    "huggingface_hub.errors.LocalEntryNotFoundError": (
        "A file is not in the local cache and the Hub cannot be reached: connect, or unset HF_HUB_OFFLINE."
    ),
    "huggingface_hub.errors.OfflineModeIsEnabled": (
        "HF_HUB_OFFLINE is set and a file is not in the local cache: unset it once to download."
    ),
    "huggingface_hub.errors.HfHubHTTPError": "The Hub answered with an error, run again to continue: {error}",
    # the Hub's client: huggingface_hub has moved from httpx to its successor
    "httpx.TransportError": "The network failed, run again to continue: {error}",
    "httpx2.TransportError": "The network failed, run again to continue: {error}",
    "hf_xet": "The transfer to or from the Hub failed, run again to continue: {error}",
    "safetensors._safetensors_rust.SafetensorError": (
        "A safetensors file is damaged or half written, fetch or make it again: {error}"
    ),
    "onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile": (
        "An ONNX file is missing, run `tclip export onnx RUN` again: {error}"
    ),
    "onnxruntime.capi.onnxruntime_pybind11_state": (
        "ONNX Runtime refuses the model, export again or update onnxruntime: {error}"
    ),
    "torch.OutOfMemoryError": (
        "The GPU's memory is full: set a smaller train.batch_size, calibrate.batch_size or eval.batch_size."
    ),
    "builtins.MemoryError": (
        "Memory is full: set a smaller train.batch_size, calibrate.batch_size or data.shuffle."
    ),
}

_BY_ERRNO: Final[dict[int, str]] = {
    errno.ENOSPC: "The disk is full: make room or write elsewhere with --out{where}.",
    errno.EDQUOT: "The disk quota is used up: make room or write elsewhere with --out{where}.",
    errno.EACCES: "Permission denied: choose another folder or change its rights{where}.",
    errno.EPERM: "Not permitted by the system: choose another folder or change its rights{where}.",
    errno.EROFS: "The file system is read-only: choose another folder{where}.",
    errno.EMFILE: "Too many open files: raise the limit with `ulimit -n 4096`{where}.",
    errno.ENAMETOOLONG: "The name is too long for the file system: choose a shorter one{where}.",
    errno.ENOTDIR: "A file stands where a folder is needed: remove it or choose another folder{where}.",
    errno.EIO: "The disk failed to read or write: check it, then run again{where}.",
}


def known_failure(error: BaseException) -> str | None:
    """Return the sentence for an exception that is no bug of tclip, or None if it may be one."""
    if (number := _errno(error)) in _BY_ERRNO:
        filename = getattr(error, "filename", None)
        return _BY_ERRNO[number].format(where=f" ({filename})" if filename else "")
    for cls in type(error).__mro__:
        name = f"{cls.__module__}.{cls.__qualname__}"
        sentence = _BY_CLASS.get(name) or _BY_CLASS.get(cls.__module__)
        if sentence:
            return sentence.format(error=_one_line(error))
    return None


def usage_mistake(message: str, command: str) -> str:
    """Return the sentence for what typer says of a mistake in the command line, with the nearest choice.

    Args:
        message: what typer says.
        command: the command's whole name, for its help.
    """
    message = message.replace("Value error, ", "").rstrip(".")
    choices = re.search(r"'([^']*)' is not one of (.*)", message)
    hint = did_you_mean(choices[1], re.findall("'([^']*)'", choices[2])) if choices else ""
    return f"{message}.{hint} See `{command} --help`."


def interrupted() -> str:
    """Return the sentence after Ctrl-C."""
    return (
        "Interrupted: what is finished is kept, and the same command goes on from there "
        "(compress and train: with --resume)."
    )


def _errno(error: BaseException) -> int:
    """Return the system's number of an error, or 0; libraries written in Rust tell it in words alone."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told else 0


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()
