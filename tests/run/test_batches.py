"""Mini-batches are the same wherever the training set is."""

import pytest
import torch

from kfac_cli.data.dataset import Dataset
from kfac_cli.run import batches
from kfac_cli.run.batches import (
    ByteRows,
    Cases,
    DeviceRows,
    HostRows,
    as_bytes,
    bytes_needed,
    draw_batch,
    fits,
    on_device,
    training_cases,
)

CPU = torch.device("cpu")
PIXELS = torch.arange(256).repeat(3).reshape(96, 8)
INTENSITIES = PIXELS.float() / 255
DATA = {
    "pixels from 0 to 1": (INTENSITIES, ByteRows),
    "float64": (PIXELS.double() / 255, ByteRows),
    "pixels from 0 to 255": (PIXELS.float(), ByteRows),
    "one-hot": (torch.eye(8).repeat(12, 1), ByteRows),
    "a pixel rounded otherwise": (INTENSITIES.index_fill(1, torch.tensor([7]), 0.1), DeviceRows),
    "normal": (torch.randn(96, 8, generator=torch.Generator().manual_seed(0)), DeviceRows),
    "beyond a byte": (torch.full((96, 8), 256.0), DeviceRows),
    "negative": (-INTENSITIES, DeviceRows),
    "infinite": (torch.full((96, 8), torch.inf), DeviceRows),
}


def dataset(inputs, targets):
    return Dataset("arrays", inputs, targets, inputs, targets, None)


def batches_of(cases, sizes=(5, 96, 40)):
    generator = torch.Generator().manual_seed(3)
    return [draw_batch(cases, size, generator) for size in sizes]


@pytest.mark.parametrize(("values", "kind"), DATA.values(), ids=DATA)
def test_the_rows_on_a_device_are_those_on_the_host_bit_for_bit(values, kind):
    rows = on_device(values, CPU)
    assert type(rows) is kind
    assert rows.values.dtype == (torch.uint8 if kind is ByteRows else values.dtype)
    assert torch.equal(rows.all(), values)
    own, host = batches_of(Cases(rows, None)), batches_of(Cases(HostRows(values), None))
    for (inputs, targets), (expected, _) in zip(own, host, strict=True):
        assert inputs is targets
        assert inputs.dtype == expected.dtype
        assert torch.equal(inputs, expected)


def test_a_value_that_is_no_byte_is_found_in_the_last_rows(monkeypatch):
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 10)
    values = INTENSITIES.clone()
    assert as_bytes(values, 255) is not None
    values[-1, -1] += 1e-7
    assert as_bytes(values, 255) is None


def test_inputs_and_targets_are_of_the_same_cases():
    targets = torch.arange(96.0)[:, None]
    for rows in (HostRows, DeviceRows):
        for inputs, own in batches_of(Cases(rows(10 * targets), rows(targets))):
            assert torch.equal(inputs, 10 * own)


def test_on_a_cpu_the_cases_stay_where_they_are():
    data = dataset(INTENSITIES, INTENSITIES)
    cases = training_cases(data, CPU)
    inputs, targets = cases.all()
    assert inputs is targets is data.train_inputs
    assert len(cases) == 96


# --- where a GPU has the cases -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "free", "expected"), [(50, 100, True), (51, 100, False), (0, 0, True), (1, 0, False)]
)
def test_a_training_set_may_take_half_of_the_free_memory(needed, free, expected):
    assert fits(needed, free) == expected


def test_a_set_needs_itself_and_a_mini_batch_of_all_of_it():
    assert bytes_needed(torch.zeros(60_000, 784)) == 2 * 60_000 * 784 * 4
    assert bytes_needed(torch.zeros(10, 3, dtype=torch.float64)) == 2 * 10 * 3 * 8


def placed(monkeypatch, data, free):
    """The training cases beside a GPU with so many free bytes, of which none is used."""
    monkeypatch.setattr(batches, "free_memory", lambda device: free)
    monkeypatch.setattr(batches, "on_device", lambda values, device: DeviceRows(values))
    return training_cases(data, torch.device("cuda"))


def test_cases_that_fit_are_on_the_gpu_and_others_are_pinned(monkeypatch):
    targets = torch.zeros(96, 2)
    needed = bytes_needed(INTENSITIES) + bytes_needed(targets)
    data = dataset(INTENSITIES, targets)
    on_it = placed(monkeypatch, data, 2 * needed)
    assert isinstance(on_it.inputs, DeviceRows) and isinstance(on_it.targets, DeviceRows)
    beside = placed(monkeypatch, data, 2 * needed - 2)
    assert beside.inputs.pinned and beside.targets.pinned
    assert beside.all() == (data.train_inputs, data.train_targets)


def test_an_autoencoder_needs_its_cases_once(monkeypatch):
    data = dataset(INTENSITIES, INTENSITIES)
    cases = placed(monkeypatch, data, 2 * bytes_needed(INTENSITIES))
    assert isinstance(cases.inputs, DeviceRows) and cases.targets is None


def test_rows_for_a_gpu_are_gathered_into_pinned_memory(monkeypatch):
    asked, empty = [], torch.empty

    def pretend(*shape, pin_memory=False, **keywords):
        asked.append(pin_memory)
        return empty(*shape, **keywords)

    monkeypatch.setattr(torch, "empty", pretend)
    index = torch.tensor([7, 0, 95])
    assert torch.equal(HostRows(INTENSITIES, pinned=True).select(index), INTENSITIES[index])
    assert asked == [True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("values", "kind"), DATA.values(), ids=DATA)
def test_a_gpu_has_the_same_rows_bit_for_bit(values, kind):
    host = batches_of(Cases(HostRows(values), None))
    for rows in (on_device(values, torch.device("cuda")), HostRows(values, pinned=True)):
        for (inputs, _), (expected, _) in zip(batches_of(Cases(rows, None)), host, strict=True):
            assert torch.equal(inputs.cpu(), expected)
