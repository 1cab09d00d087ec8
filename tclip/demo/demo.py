"""The demo: recipe `demo` on the embedded CLIP and drawn scenes, then one picture of what changed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from tclip.data.eval_sets import open_eval
from tclip.demo.dataset import CLASS_NAMES, DemoData, model_folder, write_scenes
from tclip.errors import UserError
from tclip.evaluate.encoder import Encoder, embed_all
from tclip.evaluate.subject import FORMS
from tclip.pipeline import compress
from tclip.progress import Progress, Table
from tclip.recipe.read import read_recipe
from tclip.recipe.schema import Recipe
from tclip.report.picture import ranking_picture
from tclip.run import Run

NUM_TRAIN, NUM_TEST, SEED = 6000, 500, 0
NUM_QUERIES = 5
BATCH = 64


def run_demo(
    folder: Path,
    progress: Progress,
    settings: Sequence[str] = (),
    num_train: int = NUM_TRAIN,
    num_test: int = NUM_TEST,
) -> Run:
    """Compress the embedded CLIP in `folder`, measure it on held-out scenes and draw FOLDER/ranking.png.

    A demo that the folder holds is made anew; its drawn scenes are used again. `settings` are
    overrides of recipe demo, KEY=VALUE.

    Raises:
        UserError: the folder holds a run that is no demo's, or an override is wrong.
    """
    recipe = demo_recipe(DemoData.below(folder, num_train, num_test, SEED), settings)
    remove_earlier(folder)
    progress.begin("draw scenes")
    data = write_scenes(folder, num_train, num_test, SEED)
    run = compress(recipe, folder, progress)
    progress.note(f"By chance: R@1 {1 / num_test:.1%}, top-1 {1 / len(CLASS_NAMES):.1%}.")
    picture = draw_ranking(run, data.scenes)
    progress.table(files_table(run, picture))
    return run


def demo_recipe(data: DemoData, settings: Sequence[str]) -> Recipe:
    """Return recipe `demo` for the embedded model and the drawn scenes, with overrides laid over it."""
    own = [
        f"model.id={model_folder()}",
        f"data.train={data.scenes}",
        f"eval.data=[{data.scenes}, {data.shapes}]",
    ]
    return read_recipe("demo", [*own, *settings])


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier demo left in the folder, except for its scenes.

    Raises:
        UserError: the folder holds a run of another recipe.
    """
    if not (folder / "recipe.yaml").is_file():
        return
    run = Run(folder, read_recipe(folder / "recipe.yaml"))
    if run.recipe.name != "demo":
        raise UserError(f"{folder} holds a run of recipe {run.recipe.name}: give the demo another folder.")
    for part in (run.calibrated, run.steps, run.trained, run.packed, run.onnx, run.results, run.report):
        shutil.rmtree(part, ignore_errors=True)
    for name in ("ranking.png", "stages.json", "recipe.yaml"):
        (folder / name).unlink(missing_ok=True)


def draw_ranking(run: Run, scenes: Path) -> Path:
    """Draw FOLDER/ranking.png: what original and packed model rank first for the first test captions."""
    samples = list(open_eval(str(scenes)))
    images = [sample.image() for sample in samples]
    queries = [sample.captions[0] for sample in samples[:NUM_QUERIES]]
    encoders = (FORMS[form](run).encoder for form in ("original", "packed"))
    original, packed = (rank_images(encoder, queries, images) for encoder in encoders)
    path = run.folder / "ranking.png"
    ranking_picture(path, queries, images, original, packed, [{row} for row in range(len(queries))])
    return path


def rank_images(encoder: Encoder, queries: Sequence[str], images: Sequence[Image.Image]) -> list[list[int]]:
    """Return for each query the indices of all images, best first."""
    image_NE = embed_all(encoder.embed_images, images, BATCH)
    text_QE = embed_all(encoder.embed_texts, queries, BATCH)
    return torch.argsort(text_QE @ image_NE.T, dim=1, descending=True, stable=True).tolist()


def files_table(run: Run, picture: Path) -> Table:
    """Return where the results lie."""
    files = [
        model_folder() / "model.safetensors",
        run.packed / "model.safetensors",
        *sorted(run.onnx.glob("*.onnx")),
        picture,
    ]
    rows = [[str(file), round(file.stat().st_size / 1e6, 2)] for file in files]
    return Table("Files", ["file", "MB"], rows)
