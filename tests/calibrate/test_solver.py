"""The solver against all codes there are, against loops without blocks, and what must always hold."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tclip.calibrate import solver
from tclip.calibrate.solver import solve
from tclip.calibrate.sweeps import compensated, descended, turns
from tclip.ternary.granularity import scale_shape
from tclip.ternary.integers import round_weight, to_integers
from tclip.ternary.quantizers import ternarize

GRANULARITIES = ("tensor", "row", "group:2")
DAMPING = 0.01


def problem(seed: int, outputs: int, inputs: int, tokens: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight and the second moments of inputs that hang together."""
    generator = torch.Generator().manual_seed(seed)
    weight_OI = torch.randn(outputs, inputs, generator=generator)
    mix_II = torch.randn(inputs, inputs, generator=generator)
    x_NI = torch.randn(tokens, inputs, generator=generator) @ mix_II
    return weight_OI, (x_NI.T @ x_NI / tokens).double()


def damped(moment_II: torch.Tensor, damping: float = DAMPING) -> torch.Tensor:
    """The documented ridge: a share of the mean diagonal."""
    eye_II = torch.eye(len(moment_II), dtype=torch.float64)
    return moment_II.double() / moment_II.diagonal().mean() + damping * eye_II


def error(dense_OI: torch.Tensor, weight_OI: torch.Tensor, moment_II: torch.Tensor) -> float:
    off_OI = (dense_OI - weight_OI).double().flatten(1)
    return float(((off_OI @ moment_II) * off_OI).sum())


def best_of_all(weight_OI: torch.Tensor, moment_II: torch.Tensor, granularity: str) -> float:
    """The least error over all 3^n codes, each with its own best scales by least squares."""
    root_II = torch.linalg.cholesky(moment_II).T
    rows, groups = scale_shape(granularity, weight_OI.shape)
    units = [weight_OI] if rows == 1 else list(weight_OI[:, None])
    total = 0.0
    for unit_OI in units:
        wanted = (root_II @ unit_OI.double().T).T.flatten()
        codes_KOI = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=unit_OI.numel())), dtype=torch.float64)
        codes_KOI = codes_KOI.reshape(-1, *unit_OI.shape)
        parts = codes_KOI.reshape(len(codes_KOI), len(unit_OI), groups, -1)
        columns = torch.stack(
            [
                torch.zeros_like(parts).index_copy(2, torch.tensor([g]), parts[:, :, g : g + 1]).flatten(2)
                for g in range(groups)
            ],
            -1,
        )
        seen = torch.einsum("ij,kojg->koig", root_II, columns).flatten(1, 2)
        gram = seen.mT @ seen + 1e-12 * torch.eye(groups, dtype=torch.float64)
        scales = torch.linalg.solve(gram, (seen.mT @ wanted[:, None]))
        total += float(((seen @ scales)[..., 0] - wanted).square().sum(-1).min())
    return total


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_near_the_best_of_all_codes(granularity: str) -> None:
    ours = best = rounded = 0.0
    for seed in range(20):
        weight_OI, moment_II = problem(seed, outputs=2, inputs=4)
        least = best_of_all(weight_OI, damped(moment_II), granularity)
        found = error(
            solve(weight_OI, moment_II, granularity=granularity, damping=DAMPING).dense(),
            weight_OI,
            damped(moment_II),
        )
        plain = error(ternarize(weight_OI, "mse", granularity).dense(), weight_OI, damped(moment_II))
        assert found >= least * (1 - 1e-4) - 1e-6
        ours, best, rounded = ours + found, best + least, rounded + plain
    assert ours - best < 0.35 * (rounded - best)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    outputs=st.integers(1, 6),
    inputs=st.sampled_from([2, 4, 8, 70, 130]),
    granularity=st.sampled_from(GRANULARITIES),
    quantizer=st.sampled_from(["absmean", "clip2", "twn", "mse", "learned"]),
    bits=st.sampled_from([None, 4, 8]),
    damping=st.sampled_from([0.001, 0.01, 0.3, 1.0]),
)
def test_never_worse_than_plain_rounding(
    seed: int, outputs: int, inputs: int, granularity: str, quantizer: str, bits: int | None, damping: float
) -> None:
    weight_OI, moment_II = problem(seed, outputs, inputs)
    found = solve(
        weight_OI, moment_II, quantizer=quantizer, granularity=granularity, bits=bits, damping=damping
    )
    plain = round_weight(weight_OI, bits, quantizer, granularity)
    assert type(found) is type(plain)
    assert int(found.codes.abs().max()) <= plain.largest
    measure = damped(moment_II, damping)
    assert found.codes.dtype == torch.int8
    assert found.scale_RG.shape == scale_shape(granularity, weight_OI.shape)
    assert bool((found.scale_RG >= 0).all())
    # at 8 bits what is left is near the rounding of float32 itself
    assert (
        error(found.dense(), weight_OI, measure) <= error(plain.dense(), weight_OI, measure) * 1.0001 + 1e-6
    )


# in these compensation alone ends above plain rounding: few inputs that hang together closely
@pytest.mark.parametrize(
    ("seed", "granularity", "inputs", "outputs", "damping"),
    [(197, "group:2", 4, 2, 0.001), (70, "row", 8, 2, 0.001), (154, "tensor", 8, 3, 0.01)],
)
def test_rows_that_compensation_makes_worse(
    seed: int, granularity: str, inputs: int, outputs: int, damping: float
) -> None:
    weight_OI, moment_II = problem(seed, outputs, inputs)
    found = solve(weight_OI, moment_II, granularity=granularity, damping=damping).dense()
    plain = ternarize(weight_OI, "mse", granularity).dense()
    measure = damped(moment_II, damping)
    assert error(found, weight_OI, measure) <= error(plain, weight_OI, measure) * 1.0001


def test_far_below_plain_rounding_where_inputs_hang_together() -> None:
    weight_OI, moment_II = problem(0, outputs=16, inputs=96, tokens=200)
    found = error(solve(weight_OI, moment_II).dense(), weight_OI, damped(moment_II))
    assert found < 0.5 * error(ternarize(weight_OI, "mse").dense(), weight_OI, damped(moment_II))


@pytest.mark.parametrize("bits", [4, 8])
def test_integers_too_are_far_below_their_plain_rounding(bits: int) -> None:
    weight_OI, moment_II = problem(0, outputs=16, inputs=96, tokens=200)
    found = error(solve(weight_OI, moment_II, bits=bits).dense(), weight_OI, damped(moment_II))
    assert found < 0.5 * error(to_integers(weight_OI, bits).dense(), weight_OI, damped(moment_II))


def compensated_one_by_one(weight_OI: torch.Tensor, moment_II: torch.Tensor, scale: float) -> torch.Tensor:
    """GPTQ with the inverse of the inputs still open taken anew at each of them."""
    open_OI, codes_OI = weight_OI.double().clone(), torch.zeros_like(weight_OI)
    left = moment_II.diagonal().argsort(descending=True, stable=True).tolist()
    while left:
        i = left[0]
        inverse_LL = torch.linalg.inv(moment_II[left][:, left])
        codes_OI[:, i] = (open_OI[:, i] / scale).round().clamp(-1, 1).float()
        missed_O = open_OI[:, i] - codes_OI[:, i] * scale
        open_OI[:, left] -= missed_O[:, None] * inverse_LL[0] / inverse_LL[0, 0]
        left.pop(0)
    return codes_OI


def test_compensation_equals_the_definition() -> None:
    weight_OI, moment_II = problem(1, outputs=5, inputs=150, tokens=400)
    moment_II = damped(moment_II)
    scale_IO = torch.full((150, 5), 1.2)
    codes_IO = compensated(weight_OI.T.contiguous(), turns(moment_II.float()), scale_IO)
    wanted_OI = compensated_one_by_one(weight_OI, moment_II, 1.2)
    # a tie that float32 breaks otherwise sends its row another way: most rows must be the same whole
    assert (wanted_OI == codes_IO.T).all(1).sum() >= 4


def test_descent_equals_trying_each_code_in_turn() -> None:
    weight_OI, moment_II = problem(2, outputs=3, inputs=70, tokens=200)
    moment_II = damped(moment_II)
    codes_OI = ternarize(weight_OI, "mse").codes.float()
    scale = torch.tensor(1.1)
    found_IO = descended(
        weight_OI.T.contiguous(), moment_II.float(), codes_OI.T.contiguous(), scale.expand(70, 3)
    )
    for row, i in product(range(3), range(70)):
        tried = []
        for code in (-1.0, 0.0, 1.0):
            codes_OI[row, i] = code
            tried.append((error(codes_OI[row : row + 1] * scale, weight_OI[row : row + 1], moment_II), code))
        codes_OI[row, i] = min(tried)[1]
    assert torch.equal(found_IO.T, codes_OI)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_refitted_scales_are_those_of_least_squares(granularity: str) -> None:
    weight_OI, moment_II = problem(3, outputs=3, inputs=8)
    moment_II = damped(moment_II)
    plain = ternarize(weight_OI, "mse", granularity)
    codes_IO, scale_RG = solver._refit_scales(
        weight_OI.T.contiguous(), moment_II.float(), plain.codes.T.float().contiguous(), plain.scale_RG
    )
    root_II = torch.linalg.cholesky(moment_II).T
    rows, groups = plain.scale_RG.shape
    units = [slice(None)] if rows == 1 else [slice(row, row + 1) for row in range(rows)]
    for row, unit in enumerate(units):
        codes_OGN = codes_IO.T[unit].double().reshape(-1, groups, 8 // groups)
        columns = []
        for group in range(groups):
            one_OGN = torch.zeros_like(codes_OGN)
            one_OGN[:, group] = codes_OGN[:, group]
            columns.append((one_OGN.flatten(1) @ root_II.T).flatten())
        wanted = (weight_OI[unit].double() @ root_II.T).flatten()[:, None]
        best_G1 = torch.linalg.lstsq(torch.stack(columns, -1), wanted).solution
        torch.testing.assert_close(scale_RG[row].double(), best_G1[:, 0], rtol=1e-4, atol=1e-5)


def test_negative_scales_turn_their_codes() -> None:
    weight_OI, moment_II = problem(4, outputs=3, inputs=8)
    codes_IO = -ternarize(weight_OI, "mse").codes.T.float()
    turned_IO, scale_RG = solver._refit_scales(
        weight_OI.T, damped(moment_II).float(), codes_IO, torch.ones(3, 1)
    )
    assert torch.equal(turned_IO, -codes_IO)
    assert bool((scale_RG > 0).all())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), granularity=st.sampled_from(GRANULARITIES))
def test_neither_descent_nor_refit_raises_the_error(seed: int, granularity: str) -> None:
    weight_OI, moment_II = problem(seed, outputs=4, inputs=66, tokens=100)
    moment_II, weight_IO = damped(moment_II), weight_OI.T.contiguous()
    start = ternarize(weight_OI, "absmean", granularity)
    codes_IO, scale_RG = start.codes.T.float().contiguous(), start.scale_RG
    last = error(start.dense(), weight_OI, moment_II)
    for _ in range(3):
        scale_IO = solver._per_weight(scale_RG, weight_IO)
        codes_IO = descended(weight_IO, moment_II.float(), codes_IO, scale_IO)
        moved = error((codes_IO * scale_IO).T, weight_OI, moment_II)
        codes_IO, scale_RG = solver._refit_scales(weight_IO, moment_II.float(), codes_IO, scale_RG)
        fitted = error((codes_IO * solver._per_weight(scale_RG, weight_IO)).T, weight_OI, moment_II)
        assert fitted <= moved * 1.0001 <= last * 1.0002
        last = fitted


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_ternary_weights_stay_as_they_are(granularity: str) -> None:
    weight_OI, moment_II = problem(5, outputs=4, inputs=8)
    ternary = ternarize(weight_OI, "mse", granularity)
    again = solve(ternary.dense(), moment_II, granularity=granularity)
    assert torch.equal(again.codes, ternary.codes)
    torch.testing.assert_close(again.scale_RG, ternary.scale_RG, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_inputs_that_are_always_zero(granularity: str) -> None:
    weight_OI, moment_II = problem(6, outputs=4, inputs=8)
    moment_II[[1, 6]] = 0
    moment_II[:, [1, 6]] = 0
    found = solve(weight_OI, moment_II, granularity=granularity)
    assert bool(found.dense().isfinite().all())
    plain = ternarize(weight_OI, "mse", granularity).dense()
    assert error(found.dense(), weight_OI, damped(moment_II)) <= error(plain, weight_OI, damped(moment_II))


def test_without_any_input_it_rounds_to_the_nearest_weight() -> None:
    weight_OI, _ = problem(7, outputs=4, inputs=8)
    found = solve(weight_OI, torch.zeros(8, 8, dtype=torch.float64))
    plain = ternarize(weight_OI, "mse")
    assert torch.equal(found.codes, plain.codes)
    torch.testing.assert_close(found.scale_RG, plain.scale_RG)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_zero_weight_gets_zero_codes(granularity: str) -> None:
    _, moment_II = problem(8, outputs=4, inputs=8)
    found = solve(torch.zeros(4, 8), moment_II, granularity=granularity)
    assert not found.codes.any()
    assert bool(found.scale_RG.isfinite().all())


def test_shape_of_a_convolution_is_kept() -> None:
    weight_OI, moment_II = problem(9, outputs=4, inputs=12)
    flat, shaped = solve(weight_OI, moment_II), solve(weight_OI.reshape(4, 3, 2, 2), moment_II)
    assert shaped.codes.shape == (4, 3, 2, 2)
    assert torch.equal(shaped.dense().flatten(1), flat.dense())
