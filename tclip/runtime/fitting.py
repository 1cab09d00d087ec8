"""Whether the parts of a tower fit each other: for numpy, what the native code finds out for itself.

D width of a token.
"""

from tclip.runtime.coded import check_bytes
from tclip.runtime.weights import Attention, ImageTower, Linear, Matrix, Mlp, Norm, TextTower


def check_image_tower(tower: ImageTower) -> None:
    """Refuse an image tower that cannot be run.

    Raises:
        ValueError: sizes do not fit each other, or a byte stands for no codes.
    """
    width = _check_trunk(tower)
    _check_linear(tower.patch, tower.channels * tower.patch_size**2, width)
    _require(tower.class_D is None or len(tower.class_D) == width, "the class token has another width")
    tokens = (tower.image_size // tower.patch_size) ** 2 + (tower.class_D is not None)
    _require(tokens == len(tower.position_ND), "the positions do not fit the image size")
    if tower.norm_in is not None:
        _check_norm(tower.norm_in, width)
    if tower.pool is not None:
        _require(len(tower.pool.probe_D) == width, "the probe has another width")
        _check_attention(tower.pool.attention, width)
        _check_norm(tower.pool.norm, width)
        _check_mlp(tower.pool.mlp, width)


def check_text_tower(tower: TextTower) -> None:
    """Refuse a text tower that cannot be run; errors as for `check_image_tower`."""
    width = _check_trunk(tower)
    _check_codes(tower.table)
    _require(tower.table.shape[1] == width, "the token table has another width")


def _check_trunk(tower: ImageTower | TextTower) -> int:
    """Check what both kinds of tower have, and return the width of their tokens."""
    width = tower.position_ND.shape[1]
    _require(bool(tower.position_ND.size and tower.blocks), "a tower has no positions or no blocks")
    for block in tower.blocks:
        _check_norm(block.norm1, width)
        _check_attention(block.attention, width)
        _check_norm(block.norm2, width)
        _check_mlp(block.mlp, width)
    _check_norm(tower.norm_out, width)
    if tower.projection is not None:
        _check_linear(tower.projection, width)
    return width


def _check_attention(attention: Attention, width: int) -> None:
    _require(attention.heads > 0 and width % attention.heads == 0, "the heads do not divide the width")
    for linear in (attention.query, attention.key, attention.value, attention.out):
        _check_linear(linear, width, width)


def _check_mlp(mlp: Mlp, width: int) -> None:
    _check_linear(mlp.fc1, width)
    _check_linear(mlp.fc2, mlp.fc1.matrix.shape[0], width)


def _check_linear(linear: Linear, inputs: int, outputs: int | None = None) -> None:
    _check_codes(linear.matrix)
    rows, columns = linear.matrix.shape
    fits = columns == inputs and outputs in (None, rows)
    _require(
        fits and (linear.bias_O is None or len(linear.bias_O) == rows), "the layers do not fit each other"
    )


def _check_norm(norm: Norm, width: int) -> None:
    _require(len(norm.weight_D) == len(norm.bias_D) == width, "a norm has another width")


def _check_codes(matrix: Matrix) -> None:
    if matrix.codes is not None:
        check_bytes(matrix.codes, matrix.bits)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
