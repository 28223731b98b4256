"""The same training whatever the number of processes, up to rounding."""

import pytest
import torch

from distributed.launch import launch
from distributed.trajectories import OPTIMIZERS, save_trajectories, trajectories

LENGTHS = ((torch.float64, 14), (torch.float32, 5))
COUNTS = (2, 3)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The trajectories by number of processes, and for each by rank."""
    folder = tmp_path_factory.mktemp("trajectories")
    every = {1: [{str(dtype): trajectories(length, dtype) for dtype, length in LENGTHS}]}
    for count in COUNTS:
        file = folder / f"of-{count}"
        codes, launched = launch(count, folder, save_trajectories, file, LENGTHS)
        assert codes == [0] * count, launched.everything()
        every[count] = [torch.load(folder / f"{file.name}-{rank}") for rank in range(count)]
    return every


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("torch.float64", 1e-8), ("torch.float32", 2e-4)])
def test_processes_agree_with_a_single_one(found, name, count, dtype, tolerance):
    objectives, parameters = found[1][0][dtype][name]
    theirs, their_parameters = found[count][0][dtype][name]
    torch.testing.assert_close(theirs, objectives, rtol=tolerance, atol=0)
    torch.testing.assert_close(their_parameters, parameters, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("count", COUNTS)
def test_all_processes_have_the_same_bits(found, name, count):
    for dtype, _ in LENGTHS:
        first, *others = (own[str(dtype)][name] for own in found[count])
        for other in others:
            assert torch.equal(other[0], first[0])
            assert all(torch.equal(a, b) for a, b in zip(other[1], first[1], strict=True))
