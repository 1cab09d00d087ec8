"""The recipe document: one class a stage, every range checked, unknown keys forbidden.

A recipe is data: nothing in it names code to import. The classes are frozen, so a stage cannot
change what the run folder recorded.
"""

from typing import Final, Literal

from pydantic import Field, model_validator

from tclip.recipe.fields import Names, Section, Share, TrackerName, Weight
from tclip.recipe.quantize import Quantize

SCHEMA_VERSION: Final = 1


class Model(Section):
    """The CLIP to compress."""

    id: str | None = Field(None, description="Hub id, alias (ViT-B-32) or local folder.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")


class Teacher(Section):
    """The model to learn from; the original itself when no id is given."""

    id: str | None = Field(None, description="Hub id, alias or folder; null: the original model.")
    revision: str | None = None
    cache: bool = Field(True, description="Keep the teacher's embeddings on disk and reuse them.")


class Data(Section):
    """Where image-text pairs come from, and images and texts that have no partner."""

    train: Names = Field((), description="Sources of pairs: folders, shards, hf:// or datasets:// ids.")
    images: Names = Field(
        (),
        description="Images alone: sources, folders of pictures, or what is made of the pairs' images: "
        '"crops", parts of them, or "collages", parts on plain grounds and drawn shapes.',
    )
    texts: Names = Field(
        (),
        description='Texts alone: .txt files of one a line, or "words": prompts of the model\'s own words.',
    )
    split: str = Field("train", description="The split to read from sources that have several.")
    calibrate: Names = Field((), description="Sources for calibration; empty: the training sources.")
    captions: Literal["random", "first", "words"] = Field(
        "random",
        description="Which caption of an image to use; words: none, and pictures need none: prompts of the "
        "model's own words stand in.",
    )
    views: int = Field(1, ge=1, le=64, description="Fixed random crops of each image; 1: the centre crop.")
    min_crop: Share = Field(0.6, gt=0, description="Smallest area of a crop, as a share of the image.")
    text_tokens: int | None = Field(None, ge=4, description="Cut captions to this many tokens in training.")
    shuffle: int = Field(1000, ge=1, description="Samples held (still encoded) to shuffle among.")


class Sensitivity(Section):
    """How it is measured what each weight alone would cost; read where quantize.budget or max_cost is set."""

    pairs: int = Field(128, ge=1, description="Image-text pairs to calibrate each weight on.")
    unseen: int = Field(64, ge=2, description="Other pairs, to measure the cost on.")


class Calibrate(Section):
    """Ternarization without training."""

    method: Literal["round", "gptq"] = Field(
        "gptq", description="round: weights alone; gptq: by output error."
    )
    pairs: int = Field(512, ge=1, description="Image-text pairs to calibrate on.")
    damping: float = Field(
        0.3, gt=0, le=1, description="Ridge on the second moments, as a share of their mean."
    )
    extra_images: int = Field(0, ge=0, description="Images of data.images beside those of the pairs.")
    extra_texts: int = Field(0, ge=0, description="Texts of data.texts beside those of the pairs.")
    outputs: bool = Field(True, description="Weigh what the embedding makes of each output.")
    refit: bool = Field(True, description="Re-fit biases and norms in closed form afterwards.")
    batch_size: int = Field(64, ge=1)
    seed: int = Field(0, ge=0, description="Which pairs, parts of images and texts are drawn.")


class Losses(Section):
    """Weights of the training losses; 0 turns a loss off. Formulas: tclip/distill/losses.py."""

    contrastive: Weight = 0.0
    feature: Weight = 1.0
    interactive: Weight = 0.0
    similarity: Weight = 0.0
    layers: Weight = 0.0
    attention: Weight = 0.0

    @model_validator(mode="after")
    def _at_least_one(self) -> "Losses":
        if not any(self.model_dump().values()):
            raise ValueError("every loss has weight 0: give at least one a weight above 0")
        return self


class Train(Section):
    """Quantization-aware training with distillation."""

    steps: int | None = Field(None, ge=1, description="Optimizer steps; or give minutes.")
    minutes: float | None = Field(
        None, gt=0, description="Wall-clock budget from the first batch on; rates follow the clock."
    )
    batch_size: int = Field(128, ge=2, description="Pairs a step, over all processes.")
    extra_images: int = Field(0, ge=0, description="Images of data.images a step, beside the pairs.")
    extra_texts: int = Field(0, ge=0, description="Texts of data.texts a step, beside the pairs.")
    lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of all that has none of its own.")
    ternary_lr: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of weights that become ternary, relative to the mean magnitude of each; "
        "null: lr.",
    )
    ternary_path: float | None = Field(
        None,
        gt=0,
        description="Longest way of a weight that becomes ternary, in its mean magnitudes: where ternary_lr "
        "times all steps is more, the rate is lowered to it; null: no limit.",
    )
    norm_lr: float | None = Field(
        None, gt=0, le=1, description="Learning rate of norms, biases and other vectors; null: lr."
    )
    scale_lr: float = Field(
        1e-3, gt=0, le=1, description="Learning rate of learned scales, relative to the scale."
    )
    margin: float = Field(
        0.25,
        ge=0,
        le=0.5,
        description="How far inside its code's cell a weight starts, as a share of the scale; less than "
        "0.001 counts as that.",
    )
    weight_decay: float = Field(0.0, ge=0, le=1)
    warmup: Share = Field(0.05, description="Share of the steps in which the learning rate rises.")
    strength_warmup: Share = Field(0.0, description="Share of the steps in which quantization fades in.")
    recovery: Share = Field(0.1, description="Share of the steps, at the end, at the recovery rate.")
    recovery_lr: float = Field(1e-4, gt=0, le=1)
    grad_clip: float = Field(1.0, gt=0)
    losses: Losses = Losses()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = Field(False, description="Compile the towers first (torch.compile): for long runs.")
    workers: int = Field(
        0, ge=0, le=64, description="Processes that decode images; 0: in the training process."
    )
    checkpoint_every: int = Field(100, ge=1, description="Steps between checkpoints.")
    log_every: int = Field(10, ge=1)
    tracker: TrackerName | None = Field(
        None, description="Where the lines of the log go too, such as tensorboard or wandb."
    )
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_budget(self) -> "Train":
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes, and set the other to null")
        if self.ternary_path is not None and self.ternary_lr is None:
            raise ValueError("ternary_path bounds ternary_lr: set that too, or ternary_path to null")
        if self.warmup + self.recovery > 1:
            raise ValueError("warmup and recovery together exceed the whole training (1.0)")
        return self


class Pack(Section):
    """How the compressed model is written."""

    dtype: Literal["float16", "float32"] = Field("float16", description="Of everything that is not ternary.")


class Onnx(Section):
    """Which ONNX files are written and how near they must come."""

    format: Literal["base3", "nbits"] = Field(
        "base3", description="base3: 1.6 bits, standard operators; nbits: 2 bits, ONNX Runtime's MatMulNBits."
    )
    activations: Literal["int8", "float"] = Field("int8", description="int8: fast; float: exact.")
    pixels: Literal["float", "uint8"] = Field(
        "float", description="What the image encoder takes: normalised floats, or bytes that it normalises."
    )
    joint: bool = Field(False, description="Also write one file with both encoders and the logits.")
    samples: int = Field(64, ge=2, description="Real images and texts for the parity gate.")
    min_cosine: Share = Field(0.98, description="Least mean cosine to the torch model.")
    min_agreement: Share = Field(0.9, description="Least share of equal top-1 answers.")


class Export(Section):
    """What is exported after packing; null turns a target off."""

    onnx: Onnx | None = Onnx()


class Eval(Section):
    """What is measured, on which data."""

    data: Names = Field((), description="CLIP_benchmark-layout folders or hf:// ids.")
    split: str = "test"
    forms: tuple[Literal["original", "trained", "packed", "onnx"], ...] | None = Field(
        None, description="What is measured; null: original, packed, and onnx if it is exported."
    )
    batch_size: int = Field(64, ge=1)
    limit: int | None = Field(None, ge=1, description="Look at no more than so many samples a data set.")


class Recipe(Section):
    """The whole document. `train: null` compresses without training."""

    schema_version: Literal[1] = Field(SCHEMA_VERSION, alias="schema")
    name: str = "unnamed"
    model: Model = Model()
    teacher: Teacher = Teacher()
    data: Data = Data()
    quantize: Quantize = Quantize()
    sensitivity: Sensitivity = Sensitivity()
    calibrate: Calibrate = Calibrate()
    train: Train | None = Train(minutes=15)
    pack: Pack = Pack()
    export: Export = Export()
    eval: Eval = Eval()

    @model_validator(mode="after")
    def _codes_survive(self) -> "Recipe":
        if self.train and self.calibrate.method == "gptq" and self.quantize.quantizer != "learned":
            raise ValueError(
                f"quantize.quantizer {self.quantize.quantizer} derives its scales from the weights at each "
                "step of training and would undo calibrate.method gptq: set quantizer learned or method round"
            )
        return self
