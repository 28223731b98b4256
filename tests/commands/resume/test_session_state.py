"""The state of a session: restored in another session, it gives exactly the same steps."""

import pytest
import torch
from soak.compare import place_of_difference
from soak.experiment import OPTIMIZERS, TORCH_OPTIMIZERS, overrides

from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.config.compose import load_config
from kfac_cli.data.registry import load_dataset
from kfac_cli.run.session import make_session, to_device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [
        *((name, "float32") for name in (*OPTIMIZERS, *TORCH_OPTIMIZERS)),
        ("kfac_tridiag", "float64"),
        ("adam", "float64"),
    ],
)
def test_from_every_iteration_a_restored_session_takes_exactly_the_same_step(
    file, tmp_path, optimizer, dtype
):
    """Bit for bit; by induction, all later steps are the same too."""
    config = load_config([*overrides(file, optimizer), f"dtype={dtype}"])
    dataset = load_dataset(config.dataset, tmp_path)
    session = make_session(config, dataset, CPU)
    other_seed = load_config([*overrides(file, optimizer), f"dtype={dtype}", "seed=99"])
    path = tmp_path / "state"
    for _ in range(config.iterations):
        with path.open("wb") as state:
            write_tree(state, session.state_dict())
        restored = make_session(other_seed, dataset, CPU)
        restored.load_state_dict(read_tree(path))
        assert place_of_difference(session.state_dict(), restored.state_dict()) is None
        assert restored.step() == session.step()
        assert place_of_difference(session.state_dict(), restored.state_dict()) is None


def test_the_state_is_that_of_the_whole_session(file, tmp_path):
    """Everything that steps change is restored, not only what state_dict lists."""
    config = load_config(overrides(file))
    dataset = load_dataset(config.dataset, tmp_path)
    session, restored = (make_session(config, dataset, CPU) for _ in range(2))
    for _ in range(11):
        session.step()
    restored.load_state_dict(session.state_dict())
    given = ("network", "options", "dataset", "training")
    for mine, theirs in ((session, restored), (session.optimizer, restored.optimizer)):
        for name in vars(mine).keys() - set(given):
            first, second = getattr(mine, name), getattr(theirs, name)
            first, second = (
                x.get_state() if isinstance(x, torch.Generator) else x for x in (first, second)
            )
            first, second = (
                x.state_dict() if hasattr(x, "state_dict") else x for x in (first, second)
            )
            assert place_of_difference(first, second) is None, name


def test_tensors_move_to_another_device_once_and_generators_stay():
    """`meta` represents a GPU."""
    weights, state = torch.zeros(2, 3), torch.Generator().get_state()
    tree = to_device({"w": [weights], "same": weights, "g": state, "n": 3}, torch.device("meta"))
    assert tree["w"][0].device.type == "meta"
    assert tree["w"][0] is tree["same"]
    assert tree["g"] is state
    assert tree["n"] == 3
