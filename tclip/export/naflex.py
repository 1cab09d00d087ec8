"""SigLIP 2's position embeddings for any grid of patches, without a loop over the images of a batch.

transformers resizes the table image by image (bilinear, antialiased), which no exporter can follow. The
same filter in closed form: output patch n of an image with h x w patches lies at row n // w and column
n % w; along an axis that shrinks or grows from S to h cells, cell i of the table weighs
max(0, 1 - |i + 1/2 - (row + 1/2) S/h| / max(S/h, 1)), divided by the sum over i.

B batch, N patches, S cells of the table along an axis, D width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def resize_positions(
    table_SSD: Float[Tensor, "S S D"], grid_B2: Int[Tensor, "B 2"], max_length: int
) -> Float[Tensor, "B N D"]:
    """Return the position embedding of every patch.

    Args:
        table_SSD: the trained embeddings, a square of cells.
        grid_B2: rows and columns of patches of each image.
        max_length: N; patches beyond an image's own get the embedding of its first.
    """
    size = table_SSD.shape[0]
    rows_B1, columns_B1 = grid_B2[:, :1], grid_B2[:, 1:]
    patch_BN = torch.arange(max_length, device=grid_B2.device).expand(grid_B2.shape[0], -1)
    patch_BN = torch.where(patch_BN < rows_B1 * columns_B1, patch_BN, 0)
    row_BN = torch.div(patch_BN, columns_B1, rounding_mode="floor")
    row_weight_BNS = _weights(row_BN, rows_B1, size)
    column_weight_BNS = _weights(patch_BN - row_BN * columns_B1, columns_B1, size)
    both_BNSS = row_weight_BNS.unsqueeze(-1) * column_weight_BNS.unsqueeze(-2)
    return both_BNSS.flatten(2) @ table_SSD.flatten(0, 1)


def _weights(
    position_BN: Int[Tensor, "B N"], length_B1: Int[Tensor, "B 1"], size: int
) -> Float[Tensor, "B N S"]:
    step_B1 = size / length_B1.float()
    centre_BN = (position_BN.float() + 0.5) * step_B1
    cell_S = torch.arange(size, device=position_BN.device).float() + 0.5
    distance_BNS = (cell_S - centre_BN.unsqueeze(-1)).abs() / step_B1.clamp(min=1).unsqueeze(-1)
    weight_BNS = (1 - distance_BNS).clamp(min=0)
    return weight_BNS / weight_BNS.sum(-1, keepdim=True)
