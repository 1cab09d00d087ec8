"""Rows in turn: against loops without blocks, and against the solver that does not look at the outputs."""

import pytest
import torch
from torch import nn

from tclip.calibrate import rows
from tclip.calibrate.layer import calibrate_table
from tclip.calibrate.rows import OUTPUT_DAMPING, solve_in_turn
from tclip.calibrate.solver import solve
from tclip.recipe.quantize import Quantize
from tclip.ternary.tensor import TernaryTensor
from tests.calibrate.test_solver import damped, problem

OPTIONS = {"quantizer": "mse", "granularity": "row", "bits": None, "damping": 0.1}


def loss(
    dense_OI: torch.Tensor, weight_OI: torch.Tensor, moment_II: torch.Tensor, output_OO: torch.Tensor
) -> float:
    """tr(G E H E^T), both moments with the ridges that the solver is told to use."""
    off_OI = (dense_OI - weight_OI).double()
    return float(torch.trace(damped(output_OO, OUTPUT_DAMPING) @ off_OI @ damped(moment_II, 0.1) @ off_OI.T))


def three_of(seed: int, outputs: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    weight_OI, moment_II = problem(seed, outputs, inputs, tokens=4 * inputs)
    _, output_OO = problem(seed + 1, 1, outputs, tokens=4 * outputs)
    return weight_OI, moment_II, output_OO


@pytest.mark.parametrize("seed", range(4))
def test_the_embedding_changes_less_than_without_looking_at_the_outputs(seed: int) -> None:
    weight_OI, moment_II, output_OO = three_of(seed, 32, 40)
    blind = solve(weight_OI, moment_II, **OPTIONS)
    seeing = solve_in_turn(weight_OI, moment_II, output_OO, **OPTIONS)
    losses = [loss(chosen.dense(), weight_OI, moment_II, output_OO) for chosen in (seeing, blind)]
    assert losses[0] < 0.9 * losses[1]


def test_each_row_makes_up_for_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCKS", 6)  # one row each
    weight_OI, moment_II, output_OO = three_of(7, 6, 12)
    found = solve_in_turn(weight_OI, moment_II, output_OO, **OPTIONS)
    known_OO = damped(output_OO, OUTPUT_DAMPING)
    left = known_OO.diagonal().argsort(descending=True).tolist()
    wanted_OI, dense_OI = weight_OI.double().clone(), torch.zeros(6, 12, dtype=torch.float64)
    while left:
        row = left.pop(0)
        dense_OI[row] = solve(wanted_OI[row : row + 1].float(), moment_II, **OPTIONS).dense()[0].double()
        missed_I = dense_OI[row] - wanted_OI[row]
        if left:  # the best float change of the rows to come, given this one's error
            change_L = -torch.linalg.solve(known_OO[left][:, left], known_OO[left, row])
            wanted_OI[left] += change_L[:, None] * missed_I
    torch.testing.assert_close(found.dense().double(), dense_OI, rtol=1e-3, atol=1e-4)


def test_outputs_that_matter_alike_change_nothing() -> None:
    weight_OI, moment_II, _ = three_of(3, 8, 12)
    blind = solve(weight_OI, moment_II, **OPTIONS)
    alike = solve_in_turn(weight_OI, moment_II, torch.eye(8), **OPTIONS)
    torch.testing.assert_close(alike.dense(), blind.dense())


@pytest.mark.parametrize("options", [{"granularity": "tensor"}, {"bits": 4}])
def test_shared_scales_and_integers_do_not_look_at_the_outputs(options: dict[str, object]) -> None:
    weight_OI, moment_II, output_OO = three_of(5, 8, 12)
    blind = solve(weight_OI, moment_II, **OPTIONS | options)
    found = solve_in_turn(weight_OI, moment_II, output_OO, **OPTIONS | options)
    assert torch.equal(found.codes, blind.codes)


def test_any_shape_and_groups_come_back() -> None:
    weight_OI, moment_II, output_OO = three_of(9, 8, 12)
    found = solve_in_turn(
        weight_OI.reshape(8, 3, 2, 2), moment_II, output_OO, **OPTIONS | {"granularity": "group:4"}
    )
    assert found.codes.shape == (8, 3, 2, 2)
    assert found.granularity == "group:4"


def test_a_table_keeps_what_the_embedding_makes_of_its_rows() -> None:
    weight_OI, _, output_OO = three_of(11, 30, 16)
    _, output_OO = problem(12, 1, 16, tokens=40)
    original, student = nn.Embedding(30, 16), nn.Embedding(30, 16)
    with torch.no_grad():
        original.weight.copy_(weight_OI[:, :16])
    outcome = calibrate_table(original, student, output_OO.float(), Quantize())
    assert isinstance(outcome.weight, TernaryTensor)
    assert torch.equal(student.weight, outcome.weight.dense())
    off_VO = (student.weight - original.weight).detach().double()
    weight_VO = original.weight.detach().double()
    share = torch.trace(off_VO @ output_OO @ off_VO.T) / torch.trace(weight_VO @ output_OO @ weight_VO.T)
    assert outcome.error == pytest.approx(float(share), rel=1e-3)
    assert outcome.error < 0.8 * outcome.rounded_error
