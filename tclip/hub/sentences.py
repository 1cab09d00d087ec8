"""What the Hub's client raises while something is sent or fetched, as one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tclip.errors import HubError, UserError, first_line

AGAIN = "run the command again, it goes on where this one stopped"
# how the client's ValueErrors begin where the Hub has said no, and to what
REFUSED = {
    "Invalid metadata in README.md": "the front matter of the card (another --license may help)",
    "LFS batch API returned errors": "large files",
}
TOKENS = "https://huggingface.co/settings/tokens"


@contextmanager
def one_sentence(repo_id: str, doing: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a sentence.

    Args:
        repo_id: the repository.
        doing: what was going on, such as "sending the files".

    Raises:
        UserError: what the user can mend: token, rights, name.
        HubError: the Hub does not answer, or failed.
    """
    from huggingface_hub import errors

    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except UserError:
        raise
    except errors.LocalTokenNotFoundError as error:
        raise UserError(
            "Pushing needs a token that may write: log in with `hf auth login`, or set HF_TOKEN "
            f"(tokens are made at {TOKENS})."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError("HF_HUB_OFFLINE is set, and pushing needs the Hub: unset it.") from error
    except errors.HFValidationError as error:
        raise UserError(f'"{repo_id}" cannot be a Hub id: give owner/name.') from error
    except ValueError as error:
        what = next((what for start, what in REFUSED.items() if str(error).startswith(start)), None)
        if what is None:
            raise
        said = " ".join(line.strip("- ") for line in str(error).splitlines()[1:])
        raise UserError(f"The Hub refuses {what}: {said.rstrip('.')}.") from error
    except (http_error, ConnectionError, TimeoutError, PermissionError, RuntimeError) as error:
        cause = _cause(error)
        if getattr(cause, "filename", None) or not isinstance(cause, (http_error, OSError, RuntimeError)):
            raise  # a file on this machine, or a bug
        raise _failure(cause, repo_id, doing) from error


def _cause(error: BaseException) -> BaseException:
    """Return what made the client fail: it wraps what went wrong with one of the files."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _failure(error: BaseException, repo_id: str, doing: str) -> UserError:
    status = _status(error)
    if status == 401:
        return UserError(
            "The Hub does not know the token (mistyped, expired or taken back): log in again with "
            "`hf auth login`, or set HF_TOKEN anew."
        )
    if status == 403:
        return no_right(repo_id, said_by_server(error))
    if status == 404:
        return UserError(f"{repo_id} was not found while {doing}: was it deleted or renamed?")
    if status in (409, 412):
        return HubError(f"Somebody else changed {repo_id} while {doing}: {AGAIN}.")
    if status:
        said = said_by_server(error)
        return HubError(f"The Hub failed while {doing} ({status}{said and f', {said}'}): {AGAIN}.")
    return HubError(f"The connection to the Hub broke while {doing} ({first_line(error)}): {AGAIN}.")


def no_right(repo_id: str, said: str) -> UserError:
    """Return the sentence for a repository that may not be written to."""
    owner = repo_id.partition("/")[0]
    return UserError(
        f"You may not write to {repo_id}{said and f' ({said})'}: give a name of your own, or log in with a "
        f"token that may write to what belongs to {owner}."
    )


def said_by_server(error: Any) -> str:
    """Return the server's own words, if it gave any, without an end."""
    message = getattr(error, "server_message", None) or ""
    return first_line(ValueError(message)) if message else ""


def _status(error: Any) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
