"""The stage `pack`: from the full-precision ternary model to the one to ship."""

from tclip.packed.load import load_packed
from tclip.packed.size import measure
from tclip.packed.write import write_packed
from tclip.progress import Progress, Table
from tclip.run import Run


def pack(run: Run, progress: Progress) -> None:
    """Write RUN/packed from RUN/trained, or from RUN/calibrated where the recipe trains nothing."""
    progress.begin("pack")
    write_packed(load_packed(run.ternary), run.packed, run.recipe.pack.dtype)
    size = measure(run.packed)
    progress.table(Table("Size on disk", ["what", "value"], size.rows()))
