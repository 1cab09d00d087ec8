"""Do the page and the packed model name real photographs alike?

python -m tests.browser.photographs RUN CLASSIFICATION_FOLDER --count 100
"""

import argparse
import json
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tclip.data.eval_sets import open_eval
from tclip.evaluate.encoder import ClipEncoder, embed_all
from tclip.export.npm import library_files
from tclip.export.web import export_web
from tclip.models.clip import Clip
from tclip.packed.load import load_packed
from tclip.progress import Collected
from tests.browser.driving import Tools, find_tools, served, use

TEMPLATE = "a photo of a {}."


@torch.no_grad()
def compare(clip: Clip, page: Path, data: Path, count: int, tools: Tools) -> dict[str, Any]:
    """Name the first test photographs of a data set by its classes, on the page and by torch.

    Returns:
        how many were compared, for how many both put the same class first, how many are named rightly by
        each, the furthest that two probabilities lie apart, and how many milliseconds the page took for one.
    """
    eval_set = open_eval(str(data))
    samples = list(islice(eval_set, count))
    # the page takes a comma for the end of a label, and each label once
    labels = list(dict.fromkeys(name.replace(",", " ") for name in eval_set.classnames))
    with TemporaryDirectory() as folder, served(page) as url:
        paths = [Path(folder) / f"{index:04}.jpg" for index in range(len(samples))]
        for path, sample in zip(paths, samples, strict=True):
            path.write_bytes(sample.image_bytes)
        told = {"labels": labels, "template": TEMPLATE, "each": False}
        seen = use(tools, url, pictures=list(map(str, paths)), **told)
    encoder = ClipEncoder(clip)
    image_BE = embed_all(encoder.embed_images, [sample.image() for sample in samples], 50)
    text_LE = embed_all(encoder.embed_texts, [TEMPLATE.replace("{}", label) for label in labels], 50)
    share_BL = clip.logits(image_BE, text_LE).softmax(1)
    best_B, truth = share_BL.argmax(1).tolist(), [eval_set.classnames[s.classes[0]] for s in samples]
    shown = {name: (text.rpartition(" ")[0], share) for name, share, text in seen["best"]}
    found, shares = zip(*(shown[path.name] for path in paths), strict=True)
    expected = [labels[best] for best in best_B]
    return {
        "compared": len(samples),
        "same": sum(map(str.__eq__, found, expected)),
        "right_on_the_page": sum(map(str.__eq__, found, truth)),
        "right_by_torch": sum(map(str.__eq__, expected, truth)),
        "furthest_probability": float(np.abs(np.array(shares) - share_BL.max(1).values.numpy()).max()),
        "milliseconds": round(1000 * seen["seconds"] / len(samples), 1),
    }


def main() -> None:
    """Export the page in both forms to a temporary folder, and compare each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="with its packed model")
    parser.add_argument("data", type=Path, help="in the layout of CLIP_benchmark, with classes")
    parser.add_argument("--count", type=int, default=100)
    given = parser.parse_args()
    tools = find_tools()
    if isinstance(tools, str):
        parser.error(tools)
    clip = load_packed(given.run / "packed")
    for activations in ("float", "int8"):
        with TemporaryDirectory() as folder:
            page = Path(folder) / "web"
            export_web(clip, page, library_files(None, Collected()), activations)
            answers = compare(clip, page, given.data, given.count, tools)
        print(json.dumps({"page": activations} | answers))


if __name__ == "__main__":
    main()
