"""What processes compare before each part of a run."""

from types import SimpleNamespace

import pytest
import torch

from kfac_cli.run import messages
from kfac_cli.run.messages import CHECKED, Part, checksum, receive, state_of


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("part", [Part.STEP, Part.EVALUATE])
def test_what_differs_from_the_first_process_is_named(name, part, monkeypatch):
    values = list(range(1, 1 + len(CHECKED)))

    def deliver(message):
        message.copy_(torch.tensor([part, *values]))
        message[1 + CHECKED.index(name)] += 1

    monkeypatch.setattr(messages, "state_of", lambda session, last: values)
    monkeypatch.setattr(messages, "_broadcast", deliver)
    assert receive() == (part, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_checksum_changes_with_the_last_bit_of_an_entry(dtype):
    weights = [torch.rand(3, 4, dtype=dtype), torch.rand(2, 4, dtype=dtype)]
    before = checksum(weights)
    assert checksum([w.clone() for w in weights]) == before
    weights[1][1, 2] = torch.nextafter(weights[1][1, 2], torch.tensor(2.0, dtype=dtype))
    assert checksum(weights) != before


def test_the_last_bit_of_each_number_counts():
    optimizer = SimpleNamespace(parameters=[torch.ones(1)])
    session = SimpleNamespace(iteration=3, optimizer=optimizer)
    last = {"alpha": 0.1, "mu": None, "damping": 0.3, "gamma": 0.4}
    before = state_of(session, SimpleNamespace(**last))
    assert len(before) == len(CHECKED)
    for name in ("alpha", "damping", "gamma"):
        changed = last | {name: last[name] * (1 + 2**-52)}
        assert state_of(session, SimpleNamespace(**changed)) != before
    assert state_of(session, SimpleNamespace(**last | {"mu": 0.0})) != before
