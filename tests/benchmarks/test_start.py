"""How long a user waits for the command line itself. Printed, never asserted: machines differ."""

import statistics
import subprocess
import sys
import time

import pytest

STARTS = 7


@pytest.mark.parametrize(
    "arguments",
    [["-c", "pass"], *(["-m", "tclip.cli", *what] for what in (["--help"], ["recipes", "list"]))],
    ids=["python alone", "tclip --help", "tclip recipes list"],
)
def test_start(arguments: list[str], request: pytest.FixtureRequest) -> None:
    seconds = sorted(started(arguments) for _ in range(STARTS))
    median = statistics.median(seconds)
    print(
        f"\n{request.node.callspec.id}: median {median:.2f} s, "
        f"{STARTS} starts of {seconds[0]:.2f} to {seconds[-1]:.2f} s"
    )


def started(arguments: list[str]) -> float:
    """Seconds from start to end of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
