"""A process that runs one contender: it is given jobs as lines of JSON and answers each with a line.

One process each, so that the memory of one is not counted for another, and no two thread pools meet.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tclip.bench.contenders import Call, open_contender

WORDS = ("a dog", "two people", "a red car", "the sea", "an old house", "a child", "some flowers", "a cat")
PLACES = ("on a beach", "in the street", "at night", "near a lake", "in the snow", "behind a fence")
WARM_UP_SECONDS = 0.3


def captions(count: int) -> list[str]:
    """Return texts of a caption's length, about ten tokens each."""
    return [
        f"a photo of {WORDS[i % len(WORDS)]} {PLACES[i % len(PLACES)]} and {WORDS[(i + 3) % len(WORDS)]}"
        for i in range(count)
    ]


def measure(call: Call, seconds: float, pause: float) -> list[float]:
    """Return the seconds of each call made within `seconds`, at least three, `pause` seconds apart."""
    until = time.perf_counter() + WARM_UP_SECONDS
    call()
    while time.perf_counter() < until:
        call()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < until:
        if pause:
            time.sleep(pause)
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def main() -> None:
    """Load the contender that the first line describes, then do a job a line until the input ends."""
    told = json.loads(sys.stdin.readline())
    onnx_folder = Path(told["onnx_folder"]) if told["onnx_folder"] else None
    begin = time.perf_counter()
    contender = open_contender(told["name"], Path(told["folder"]), onnx_folder, told["threads"])
    _answer({"load_seconds": time.perf_counter() - begin})
    size, channels = told["image_size"], 3
    for line in sys.stdin:
        job = json.loads(line)
        random = np.random.default_rng(0)
        pixel_BCHW = random.normal(size=(job["batch"], channels, size, size)).astype(np.float32)
        call = contender.call(job["tower"], pixel_BCHW, captions(job["batch"]))
        times = measure(call, job["seconds"], job["pause"])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _answer({"times": times, "peak_bytes": peak if sys.platform == "darwin" else peak * 1024})


def _answer(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
