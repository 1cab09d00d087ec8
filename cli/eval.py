"""`tclip eval`: measure the forms of a run, any model on a suite, or how two models differ."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from tclip.cli.options import Json, Quiet, Revision, Settings, override
from tclip.cli.show import showing
from tclip.cli.stage import open_with, run_one_stage
from tclip.errors import UserError


class Form(str, Enum):
    """What can be measured."""

    original = "original"
    trained = "trained"
    packed = "packed"
    onnx = "onnx"


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Run, packed folder, or any CLIP: folder, Hub id or alias.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="clip-benchmark-41, discriminative, retrieval, imagenet, a task's key such as "
            "vtab/cifar10, or a folder; repeatable.",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR", help="Data set in the CLIP_benchmark layout, or hf://owner/name; repeatable."
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the data of tasks, such as wds_vtab-cifar10/; what is not there is streamed "
            "from the Hub.",
            show_default=False,
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="Bring tasks that are not below --root there, once, instead of streaming."
        ),
    ] = False,
    form: Annotated[
        list[Form] | None, typer.Option(help="What of a run to measure; repeatable.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Look at no more than so many images a data set.", show_default=False),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images, or texts, at a time [64].", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where records go; by default RUN/results, or results/MODEL.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="How B differs from A: folders with records, or models that were measured.",
            show_default=False,
        ),
    ] = None,
    revision: Revision = None,
    settings: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure zero-shot classification and retrieval, on your data or public tasks.

    tclip eval RUN --data DIR: the forms of a run on the data of its recipe,
    which --data changes. Ends with their accuracy and size in one table. With
    --form, --limit or --batch-size it is a look: the run stays as it is, but for
    records of whole data sets.

    tclip eval MODEL --suite clip-benchmark-41: any model, or the forms of a run,
    on the tasks of CLIP_benchmark and on folders (--data). Each data set leaves
    a record as it ends; the same command goes on where it was interrupted. Data
    that cannot be had are named at the end; only if there are none at all, the
    exit code tells.

    tclip eval --compare A B: how B differs from A on each data set, with the
    95 % interval of a paired bootstrap. Nothing is measured.
    """
    given = {
        "MODEL": model,
        "--suite": suite,
        "--data": data,
        "--root": root,
        "--download": download,
        "--form": form,
        "--limit": limit,
        "--batch-size": batch_size,
        "--out": out,
        "--revision": revision,
        "--set": settings,
    }
    forms = [each.value for each in form or []]
    if compare:
        _refuse(given, tuple(given), "--compare takes two results as they are")
        _compare(*compare, json=json, quiet=quiet)
    elif model is None:
        raise UserError(
            "Say what to measure: `tclip eval MODEL --suite NAME`, or `tclip eval RUN --data DIR`."
        )
    elif not suite and _is_run(model):
        _refuse(
            given,
            ("--root", "--download", "--out", "--revision"),
            "a run measured without --suite has its own",
        )
        kept = [*override("eval.data", data), *(settings or [])]
        passing = [
            *override("eval.forms", forms),
            *override("eval.limit", limit),
            *override("eval.batch_size", batch_size),
        ]
        if passing:
            _look(Path(model), [*kept, *passing], json=json, quiet=quiet)
        else:
            run_one_stage(Path(model), "eval", kept, json=json, quiet=quiet)
    else:
        unfit = ("--set", "--revision") if _is_run(model) else ("--set", "--form")
        _refuse(given, unfit, "a suite does not go by a recipe" if _is_run(model) else f"{model} is no run")
        with showing(json=json, quiet=quiet) as progress:
            from tclip.evaluate.measure import Settings as HowMuch
            from tclip.evaluate.suite.run import evaluate_suite

            if _is_run(model):
                _check_ready(Path(model), forms)
            evaluate_suite(
                model,
                suite or [],
                data or [],
                progress,
                root=root,
                download=download,
                forms=forms,
                out=out,
                revision=revision,
                settings=HowMuch(batch_size or HowMuch.batch_size, limit),
            )


def _look(folder: Path, overrides: list[str], *, json: bool, quiet: bool) -> None:
    run = open_with(folder, "eval", overrides)
    with showing(json=json, quiet=quiet) as progress:
        from tclip.evaluate.stage import evaluate_once
        from tclip.pipeline import check_ready

        check_ready(run, "eval")
        evaluate_once(run, progress)


def _compare(one: str, other: str, *, json: bool, quiet: bool) -> None:
    with showing(json=json, quiet=quiet) as progress:
        from tclip.evaluate.suite.compare import compare_results

        compare_results(one, other, progress)


def _check_ready(folder: Path, forms: list[str]) -> None:
    from tclip.evaluate.subject import forms_of
    from tclip.pipeline import check_ready
    from tclip.run import open_run

    run = open_run(folder)
    measured = forms_of(run, forms)
    if {"packed", "onnx"} & set(measured):
        check_ready(run, "eval")
    elif "trained" in measured:
        check_ready(run, "pack")  # it needs all that packing needs


def _is_run(model: str) -> bool:
    from tclip.run import is_run

    return is_run(Path(model))


def _refuse(given: dict[str, Any], unfit: tuple[str, ...], why: str) -> None:
    offenders = [name for name in unfit if given[name]]
    if offenders:
        raise UserError(f"Leave out {', '.join(offenders)}: {why}.")
