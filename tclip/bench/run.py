"""Comparing contenders: all are kept ready, and take turns in short rounds.

What else the machine does meanwhile, and how its clock changes, so falls on all of them alike.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tclip.bench.contenders import ONNX_FORMS, RUNTIME
from tclip.errors import ModelError
from tclip.progress import Progress, Table

ROUNDS = 3


@dataclass(frozen=True)
class Result:
    """What was measured of one contender, one tower and one batch size.

    Attributes:
        contender: its name.
        tower: "image" or "text".
        batch: inputs a call.
        pause: seconds of idling before each call.
        times: seconds of each call, of all rounds.
        rounds: the median seconds of each round: their spread tells how steady the machine was.
        peak_bytes: the process's peak memory so far.
    """

    contender: str
    tower: str
    batch: int
    pause: float
    times: tuple[float, ...]
    rounds: tuple[float, ...]
    peak_bytes: int

    @property
    def p50(self) -> float:
        """Median seconds of a call."""
        return median(self.times)

    @property
    def p95(self) -> float:
        """Seconds within which 95 % of the calls ended."""
        return quantiles(self.times, n=20, method="inclusive")[-1]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        folder: the packed model.
        contenders: names, see contenders.py.
        image_size: side of the pictures in pixels.
        towers: "image", "text".
        batches: inputs a call.
        seconds: of measuring for each round, contender, tower and batch.
        pauses: seconds of idling before each call, 0 for none.
        threads: most threads that a contender uses.
    """

    folder: Path
    contenders: tuple[str, ...]
    image_size: int
    towers: tuple[str, ...]
    batches: tuple[int, ...]
    seconds: float
    pauses: tuple[float, ...]
    threads: int


def run_plan(plan: Plan, progress: Progress) -> list[Result]:
    """Measure a plan, the batch sizes in rising order.

    Raises:
        ModelError: a contender cannot load the model.
    """
    jobs = [
        {"tower": tower, "batch": batch, "pause": pause, "seconds": plan.seconds}
        for batch in sorted(plan.batches)
        for tower in plan.towers
        for pause in plan.pauses
    ]
    with ExitStack() as stack:
        onnx_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tclip-bench-")))
        forms = sorted({ONNX_FORMS[name] for name in plan.contenders if name in ONNX_FORMS})
        if forms:
            progress.begin("exporting the ONNX files to compare with")
            _export(plan.folder, onnx_folder, forms)
        progress.begin("loading")
        workers = {name: stack.enter_context(_worker(name, plan, onnx_folder)) for name in plan.contenders}
        progress.begin("measuring", len(jobs))
        results = []
        for done, job in enumerate(jobs, start=1):
            results += _take_turns(workers, job)
            progress.update(done)
    return results


def results_table(results: Sequence[Result], title: str) -> Table:
    """Return one row a result; how many times faster than each contender tclip is comes last."""
    ours = {(each.tower, each.batch, each.pause): each.p50 for each in results if each.contender == RUNTIME}
    rows = []
    for each in sorted(results, key=lambda result: (result.tower, result.pause, result.batch)):
        mine = ours.get((each.tower, each.batch, each.pause))
        spread = (max(each.rounds) - min(each.rounds)) / median(each.rounds)
        rows.append(
            [
                each.tower,
                each.batch,
                round(each.pause * 1e3),
                each.contender,
                round(each.p50 * 1e3, 2),
                round(each.p95 * 1e3, 2),
                f"{spread:.0%}",
                round(each.batch / each.p50, 1),
                round(each.peak_bytes / 2**20),
                round(each.p50 / mine, 2) if mine else None,
            ]
        )
    columns = ["tower", "batch", "pause, ms", "run by", "p50, ms", "p95, ms", "spread", "a second"]
    return Table(title, [*columns, "peak, MiB", "tclip faster, times"], rows)


def _take_turns(workers: "dict[str, _Worker]", job: dict[str, Any]) -> list[Result]:
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for turn in range(ROUNDS):
        order = list(workers) if turn % 2 == 0 else list(workers)[::-1]
        for name in order:
            answers[name].append(workers[name].ask(job))
    return [
        Result(
            contender=name,
            tower=job["tower"],
            batch=job["batch"],
            pause=job["pause"],
            times=tuple(seconds for answer in each for seconds in answer["times"]),
            rounds=tuple(median(answer["times"]) for answer in each),
            peak_bytes=each[-1]["peak_bytes"],
        )
        for name, each in answers.items()
    ]


class _Worker:
    """The process of one contender."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self._name, self._process = name, process

    def ask(self, document: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.seek(0)
            said = self._process.stderr.read().strip().splitlines() or ["it said nothing"]
            raise ModelError(f"{self._name} cannot be measured ({said[-1]}): leave it out with --against.")
        return json.loads(line)


@contextmanager
def _worker(name: str, plan: Plan, onnx_folder: Path) -> Iterator[_Worker]:
    environment = os.environ | {
        variable: str(plan.threads) for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tclip.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        process.stderr = errors
        try:
            worker = _Worker(name, process)
            told = {"name": name, "folder": str(plan.folder), "onnx_folder": str(onnx_folder)}
            worker.ask(told | {"threads": plan.threads, "image_size": plan.image_size})
            yield worker
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _export(folder: Path, onnx_folder: Path, forms: Sequence[str]) -> None:
    """Trace once in a process of its own, so that its memory is nobody's."""
    code = (
        "import sys; from pathlib import Path; from tclip.packed.load import load_packed\n"
        "from tclip.export.onnx import write_graphs; from tclip.export.trace import trace_towers\n"
        "from tclip.recipe.schema import Onnx; from tclip.bench.contenders import ONNX_SETTINGS\n"
        "folder, target, *forms = sys.argv[1:]\n"
        "clip = load_packed(Path(folder)); traced = trace_towers(clip)\n"
        "clip.activations = 'float'  # the rounding of inputs is no part of a float model\n"
        "for form in forms:\n"
        "    write_graphs(clip, traced, Path(target) / form, Onnx(**ONNX_SETTINGS[form]))\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(onnx_folder), *forms]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ModelError(f"The ONNX files cannot be made ({said[-1]}): leave them out with --against.")
