"""How to use a published model: the blocks that its card shows, each complete."""

from collections.abc import Sequence

from tclip.models.families import FAMILIES

# whose both towers tclip.runtime runs, and those of which it runs the image tower alone
WHOLE, IMAGES_ALONE = ("clip", "metaclip_2", "siglip"), ("chinese_clip", "altclip")

COMMANDS = """On the command line, with tclip installed (it needs neither GPU nor, for this, torch):

```sh
tclip classify photo.jpg --labels "cat,dog" --model {repo}{option}
tclip search photos "a dog on a beach" --model {repo}{option}
```"""
RUNTIME = """In Python without torch:

```python
import tclip.runtime

clip = tclip.runtime.load("{repo}"{argument})
print(clip.classify("photo.jpg", ["cat", "dog"]))
```"""
IMAGES = """The embeddings of pictures, without torch:

```python
import tclip.runtime

clip = tclip.runtime.load("{repo}", towers="image"{argument})
print(clip.encode_image(["photo.jpg"]).shape)
```"""
TRANSFORMERS = """In `transformers`; importing tclip teaches it the packed format:

```python
import tclip
from transformers import pipeline

classify = pipeline("zero-shot-image-classification", model="{repo}"{argument})
labels = ["cat", "dog"]
print(classify("photo.jpg", candidate_labels=labels, hypothesis_template="a photo of a {{}}."))
```"""
ONNX = """In ONNX Runtime, without tclip:

```python
import onnxruntime
from huggingface_hub import snapshot_download
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer

folder = snapshot_download("{repo}"{argument}, allow_patterns="onnx/*") + "/onnx"


def embed(file, inputs):
    session = onnxruntime.InferenceSession(f"{{folder}}/{{file}}")
    return session.run(None, {{each.name: inputs[each.name] for each in session.get_inputs()}})[0]


texts = ["a photo of a cat.", "a photo of a dog."]
tokens = AutoTokenizer.from_pretrained(folder)(texts, padding={padding}, truncation=True, return_tensors="np")
processor = AutoImageProcessor.from_pretrained(folder)
{pixels}
print(embed("image_encoder.onnx", pixels) @ embed("text_encoder.onnx", tokens).T)
```"""

# what the image encoder takes, by export.onnx.pixels
PIXELS = {
    "float": 'pixels = processor(Image.open("photo.jpg"), return_tensors="np")',
    "uint8": """raw = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
pixel_BCHW = processor(Image.open("photo.jpg"), **raw)["pixel_values"]
pixels = {"pixels": pixel_BCHW.transpose(0, 2, 3, 1).astype("uint8")}""",
}


def usage(
    repo_id: str, revision: str | None, model_type: str, forms: Sequence[str], pixels: str = "float"
) -> str:
    """Return the blocks that fit a model.

    Args:
        repo_id: where it is published.
        revision: the branch there; None for the main one.
        model_type: its family; the runtime does not run all of them.
        forms: exported forms that are published beside it.
        pixels: what its ONNX image encoder takes, a key of PIXELS.
    """
    blocks = []
    if model_type in WHOLE:
        blocks += [COMMANDS, RUNTIME]
    elif model_type in IMAGES_ALONE:
        blocks.append(IMAGES)
    blocks.append(TRANSFORMERS)
    if "onnx" in forms:
        blocks.append(ONNX)
    padding = '"max_length"' if FAMILIES[model_type].pads_to_maximum else "True"
    return "\n\n".join(
        block.format(
            repo=repo_id,
            option=f" --revision {revision}" if revision else "",
            argument=f', revision="{revision}"' if revision else "",
            padding=padding,
            pixels=PIXELS[pixels],
        )
        for block in blocks
    )
