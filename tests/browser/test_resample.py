"""The page's resizing and cropping, run by node, against PIL and the runtime's reader: the same bytes."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from tclip.export.browser import FILTERS
from tclip.export.web import PAGE
from tclip.runtime.images import ImageReader

SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { fit, withoutExif } from "./pictures.js";
for (const { file, width, height, steps } of JSON.parse(readFileSync(0, "utf-8"))) {
  const bytes = new Uint8Array(readFileSync(file));
  const pixels = new Uint8ClampedArray(bytes);
  const made = steps ? fit({ pixels, width, height }, steps) : withoutExif(bytes);
  writeFileSync(`${file}.out`, made);
}
"""
PILLOW = int(PIL.__version__.split(".")[0])


def run_in_node(folder: Path, jobs: list[dict[str, Any]]) -> list[np.ndarray]:
    """Run jobs with the page's scripts; bytes out."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    for path in PAGE.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "main.js").write_text(SCRIPT)
    subprocess.run([node, "main.js"], cwd=folder, input=json.dumps(jobs), text=True, check=True)
    return [np.fromfile(f"{job['file']}.out", np.uint8) for job in jobs]


def picture(folder: Path, name: str, width: int, height: int) -> tuple[np.ndarray, str]:
    """Noise, or black and white, on which filters overshoot."""
    random = np.random.default_rng(width * 1000 + height)
    pixel_HWC = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if width % 2:
        pixel_HWC = (pixel_HWC > 127).astype(np.uint8) * 255
    pixel_HWC.tofile(folder / name)
    return pixel_HWC, str(folder / name)


SIZES = [
    (640, 480, 224, 224),
    (31, 77, 224, 212),
    (500, 333, 336, 224),
    (224, 224, 224, 224),
    (7, 100, 112, 1600),
    (1, 1, 5, 5),
    (333, 224, 333, 112),
    (301, 100, 99, 140),
]
TALL = [(100, 300, 112, 112), (111, 400, 90, 112), (200, 61, 190, 30)]  # rows first, since Pillow 13


@pytest.mark.parametrize("number", FILTERS)
def test_resizing_gives_pils_bytes(number: int, tmp_path: Path) -> None:
    sizes = SIZES + (TALL if PILLOW >= 13 else [])
    jobs, expected = [], []
    for index, (width, height, new_width, new_height) in enumerate(sizes):
        pixel_HWC, file = picture(tmp_path, str(index), width, height)
        steps = {"resize": [new_height, new_width], "crop": None, "filter": FILTERS[number]}
        jobs.append({"file": file, "width": width, "height": height, "steps": steps})
        resized = Image.fromarray(pixel_HWC).resize((new_width, new_height), Image.Resampling(number))
        expected.append(np.asarray(resized).ravel())
    for size, found, bytes_N in zip(sizes, run_in_node(tmp_path, jobs), expected, strict=True):
        assert np.array_equal(found, bytes_N), size


def test_shortest_edges_and_crops_are_those_of_the_runtime(tmp_path: Path) -> None:
    jobs, expected = [], []
    steps = [(112, (112, 112)), ((112, 112), None), (100, (112, 112)), (112, (100, 111)), (None, (112, 113))]
    sizes = [(640, 480), (300, 100), (60, 50), (225, 224), (113, 112), (112, 115), (40, 41)]
    for index, (width, height) in enumerate(sizes):
        for resize, crop in steps:
            pixel_HWC, file = picture(tmp_path, f"{index}-{len(jobs)}", width, height)
            told = {"resize": resize, "crop": crop, "filter": "bicubic"}
            jobs.append({"file": file, "width": width, "height": height, "steps": told})
            reader = ImageReader(resize, Image.Resampling.BICUBIC, crop, 1.0, None, None)
            expected.append(
                reader([Image.fromarray(pixel_HWC)])[0].transpose(1, 2, 0).astype(np.uint8).ravel()
            )
    for job, found, bytes_N in zip(jobs, run_in_node(tmp_path, jobs), expected, strict=True):
        assert np.array_equal(found, bytes_N), job


def test_of_a_jpeg_exif_alone_is_left_out(tmp_path: Path) -> None:
    image, exif = Image.linear_gradient("L").convert("RGB"), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "plain", "JPEG", comment=b"kept")
    image.save(tmp_path / "turned", "JPEG", comment=b"kept", exif=exif)
    (tmp_path / "other").write_bytes(b"\x89PNG no JPEG")
    (tmp_path / "cut").write_bytes((tmp_path / "turned").read_bytes()[:30])
    names = ["plain", "turned", "other", "cut"]
    plain, turned, other, _ = run_in_node(tmp_path, [{"file": str(tmp_path / name)} for name in names])
    assert np.array_equal(plain, turned)
    assert np.array_equal(plain, np.fromfile(tmp_path / "plain", np.uint8))
    assert np.array_equal(other, np.fromfile(tmp_path / "other", np.uint8))
