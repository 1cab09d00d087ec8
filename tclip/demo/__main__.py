"""`python -m tclip.demo FOLDER`, called by `make demo`: compress the embedded CLIP and show what it cost."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tclip.cli.show import showing
from tclip.errors import UserError

MISTAKE, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit code: 0, 2 for a mistake in what was asked, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tclip.demo", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/demo"), help="default: runs/demo")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of recipe demo, such as train.minutes=5; repeatable",
    )
    asked = parser.parse_args(arguments)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        with showing(json=False, quiet=False) as progress:
            from tclip.demo.demo import run_demo

            run_demo(asked.folder, progress, asked.settings)
    except UserError as error:
        print(f"tclip.demo: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("tclip.demo: Interrupted: the same command begins anew.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
