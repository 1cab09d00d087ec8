import pytest
import torch
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

from tclip.export.naflex import resize_positions


@pytest.mark.parametrize("size", [4, 7, 16])
def test_equals_the_loop_over_images(size: int) -> None:
    table_SSD = torch.randn(size, size, 6)
    grid_B2 = torch.tensor([[4, 4], [1, 9], [3, 20], [7, 7], [16, 2], [size, size], [1, 1]])
    max_length = max(64, size * size)
    expected = Siglip2VisionEmbeddings.resize_positional_embeddings(table_SSD, grid_B2, max_length)
    assert torch.allclose(resize_positions(table_SSD, grid_B2, max_length), expected, atol=1e-5)
