"""Public models, and when a run stands among them."""

from collections.abc import Callable

import pytest
import torch
import transformers
from matplotlib.figure import Figure

from tclip.packed.size import Size
from tclip.report.plots import Theme
from tclip.report.public import public_section, same_task, small_models
from tclip.report.scores import Score, Scores

SIZE = Size(
    model_bytes=31_300_000,
    folder_bytes=35_000_000,
    num_weights=151_280_000,
    num_ternary=150_000_000,
    code_bytes=30_000_000,
    scale_bytes=300_000,
    ints={},
    float_bytes=900_000,
    num_zeros=70_000_000,
)
# width and layers of both towers, and the patch, as TinyCLIP publishes them
TINYCLIP = {
    "TinyCLIP 8M/16 + 3M": (256, 10, 16, 256, 3),
    "TinyCLIP 39M/16 + 19M": (512, 12, 16, 512, 6),
    "TinyCLIP 40M/32 + 19M": (512, 12, 32, 512, 6),
    "TinyCLIP 61M/32 + 29M": (640, 12, 32, 512, 9),
    "ViT-B-32 openai": (768, 12, 32, 512, 12),
}

pytestmark = pytest.mark.usefixtures("undrawn")


def score(dataset: str = "imagenet1k", metric: str = "acc1", num_samples: int = 50_000) -> Score:
    return Score(dataset, metric, num_samples, 0.001, {"original": 0.633, "packed": 0.6})


@pytest.mark.parametrize("name", TINYCLIP)
def test_parameters_are_those_of_the_published_configurations(name: str) -> None:
    width, layers, patch, text_width, text_layers = TINYCLIP[name]

    def tower(width: int, layers: int) -> dict[str, int]:
        sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
        return sizes | {"num_attention_heads": 8, "projection_dim": 512}

    config = transformers.CLIPConfig(
        vision_config=tower(width, layers) | {"patch_size": patch},
        text_config=tower(text_width, text_layers),
        projection_dim=512,
    )
    with torch.device("meta"):
        model = transformers.CLIPModel(config)
    (known,) = (each for each in small_models() if each.name == name)
    assert known.parameters == pytest.approx(sum(p.numel() for p in model.parameters()) / 1e6, abs=0.01)


def test_every_point_is_a_small_model_with_its_source() -> None:
    models = small_models()
    assert len({model.name for model in models}) == len(models) >= 15
    assert all(20 < model.parameters < 200 and 40 < model.top1 < 80 for model in models)
    assert all(model.source.startswith("https://") for model in models)
    assert all(model.megabytes == 2 * model.parameters for model in models)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (score(), True),
        (score("wds_imagenet1k"), True),
        (score(num_samples=1000), False),  # the first thousand are another task
        (score("imagenetv2"), False),
        (score("imagenet_samples"), False),
        (score(metric="mean_per_class_recall"), False),
    ],
)
def test_a_run_has_points_only_on_the_same_task(found: Score, same: bool) -> None:
    assert (same_task(Scores((found,))) is found) == same
    section = public_section(Scores((found,)), SIZE)
    assert ("This run, packed: 31.3 MB, 60.0 percent." in section.plots[0].alt) == same
    assert ("This run, original: 302.6 MB, 63.3 percent." in section.plots[0].alt) == same
    assert ("not measured on the whole of ImageNet-1k" in section.text[1]) != same


def test_own_points_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = []

    def paint(height: float, paint: Callable[[Figure, Theme], None], theme: Theme) -> bytes:
        figure = Figure()
        paint(figure, theme)
        labels.append(figure.axes[0].get_legend_handles_labels()[1])
        return b""

    monkeypatch.setattr("tclip.report.plots._png", paint)
    public_section(Scores((score(),)), SIZE)
    public_section(Scores(), SIZE)
    own = ["this run, original", "this run, packed"]
    assert [each[3:] for each in labels] == [own, own, [], []]


def test_what_a_run_keeps_elsewhere_is_told_in_words_alone() -> None:
    section = public_section(Scores((score("pets"),), {"pets": 0.947}), SIZE)
    assert "keeps 94.7% of its original's score, which is no point here" in section.text[1]
    assert "94.7" not in section.plots[0].alt
