"""`python -m tclip.cli`, which is what `accelerate launch --module tclip.cli` starts."""

import sys

from tclip.cli.app import main

sys.exit(main())
