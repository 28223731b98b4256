"""Sums over cases do not depend on how a mini-batch is split into chunks."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, evaluate, sparse_initialization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.model.sampling import BLOCK_CASES, noise_for_cases
from kfac_cli.engine.model.statistics import StatisticsRequest

CASES = 2 * BLOCK_CASES + 37
CHUNK_SIZES = [1, 7, 64, BLOCK_CASES, CASES - 1, CASES, 10 * CASES]
OUTPUTS = ["bernoulli", "gaussian", "categorical"]


def problem(output, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    network = Network([6, 5, 4, 3], ["logistic", "tanh"], output)
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    inputs = torch.rand(CASES, 6, generator=generator, dtype=dtype)
    targets = torch.rand(CASES, 3, generator=generator, dtype=dtype)
    return network, parameters, inputs, targets / targets.sum(1, keepdim=True)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_every_mean_is_independent_of_the_chunk_size(output, chunk_size):
    network, parameters, inputs, targets = problem(output)
    request = StatisticsRequest(cases=CASES - 100, neighbours=True, seeds=(5,))
    directions = [[2 * p for p in parameters], [p.cos() for p in parameters]]

    def everything(size):
        batch = MiniBatch(network, parameters, inputs, targets, size)
        first = batch.first_order(request)
        return [
            torch.tensor([first.loss, first.error]),
            *first.gradient,
            *first.statistics.tensors(),
            batch.fisher_gram(directions, CASES // 2),
            torch.tensor([evaluate(network, parameters, inputs, targets, size).loss]),
        ]

    for one_chunk, chunked in zip(everything(CASES), everything(chunk_size), strict=True):
        torch.testing.assert_close(chunked, one_chunk, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_kfac_run_is_independent_of_the_chunk_size_up_to_rounding(output):
    def trajectory(chunk_size):
        network, parameters, inputs, targets = problem(output)
        options = KFACOptions(chunk_size=chunk_size, t1=1, t2=2, t3=2, lambda_initial=3)
        optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
        records = [optimizer.step(inputs, targets) for _ in range(6)]
        return optimizer.parameters, [r.objective for r in records]

    one_chunk, objectives = trajectory(CASES)
    chunked, chunked_objectives = trajectory(50)
    torch.testing.assert_close(chunked, one_chunk, rtol=1e-8, atol=1e-10)
    assert chunked_objectives == pytest.approx(objectives, rel=1e-9)


@pytest.mark.parametrize("kept_cases", [0, 1, 25, CASES])
@pytest.mark.parametrize("chunks", [0, 1, 2.5, 100])
def test_activations_are_kept_for_the_last_cases_within_the_memory_given(kept_cases, chunks):
    network, parameters, inputs, targets = problem("bernoulli")
    batch = MiniBatch(network, parameters, inputs, targets, chunk_size=10)
    [last, *_] = (
        MiniBatch(network, parameters, inputs[:10], targets[:10], 10)
        .first_order(kept_cases=10, kept_bytes=10**9)
        .activations
    )
    room = int(chunks * last.bytes)
    kept = batch.first_order(kept_cases=kept_cases, kept_bytes=room).activations
    assert sum(each.bytes for each in kept) <= room
    cases = sum(each.cases for each in kept)
    assert cases >= min(kept_cases, 10 * int(chunks) - 10)
    assert cases < kept_cases + 10


@pytest.mark.parametrize(("room", "kept"), [(24, 0), (25, 25), (CASES - 1, 25), (CASES, CASES)])
def test_of_a_chunk_that_does_not_fit_the_cases_asked_for_are_kept_if_they_fit(room, kept):
    """As on a GPU, where a mini-batch is one chunk. The copy leaves the chunk free to go."""
    batch = MiniBatch(*problem("bernoulli"), chunk_size=CASES)
    [everything] = batch.first_order(kept_cases=CASES, kept_bytes=10**9).activations
    room *= everything.bytes // CASES
    found = batch.first_order(kept_cases=25, kept_bytes=room).activations
    assert sum(each.cases for each in found) == kept
    for each in found:
        assert each.logits.untyped_storage().nbytes() == each.logits.nbytes
        torch.testing.assert_close(each.logits, everything.logits[-kept:])


@pytest.mark.parametrize("cases", [1, 9, 10, 25, 39, 40, 60, CASES])
def test_products_with_the_fisher_are_the_same_with_and_without_the_gradients_activations(cases):
    """Up to rounding, whether they cover the cases or not; the mini-batch does not change."""
    network, parameters, inputs, targets = problem("categorical")
    batch = MiniBatch(network, parameters, inputs, targets, chunk_size=10)
    directions = [[2 * p for p in parameters], [p.cos() for p in parameters]]
    before = dict(vars(batch))
    known = batch.first_order(kept_cases=40, kept_bytes=2**20).activations
    assert vars(batch) == before
    torch.testing.assert_close(
        batch.fisher_gram(directions, cases, known), batch.fisher_gram(directions, cases)
    )
    torch.testing.assert_close(
        batch.fisher_product(directions[1], cases, known),
        batch.fisher_product(directions[1], cases),
    )


def test_a_mini_batch_cannot_be_changed():
    batch = MiniBatch(*problem("bernoulli"), chunk_size=10)
    with pytest.raises(FrozenInstanceError):
        batch.parameters = []


def test_statistics_use_the_first_cases_of_the_batch_only_and_the_fisher_the_last():
    network, parameters, inputs, targets = problem("gaussian")
    request = StatisticsRequest(cases=40, neighbours=True, seeds=(5,))
    first = MiniBatch(network, parameters, inputs[:40], targets[:40], 16)
    last = MiniBatch(network, parameters, inputs[-40:], targets[-40:], 16)
    long = MiniBatch(network, parameters, inputs, targets, 16)
    for mine, theirs in zip(
        first.first_order(request).statistics.tensors(),
        long.first_order(request).statistics.tensors(),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    gram, product = last.fisher_gram([parameters], 40), last.fisher_product(parameters, 40)
    torch.testing.assert_close(long.fisher_gram([parameters], 40), gram)
    torch.testing.assert_close(long.fisher_product(parameters, 40), product)


@pytest.mark.parametrize("cases", [1, 10, 25, 60])
def test_products_with_the_fisher_run_no_pass_over_other_cases(cases):
    """Without the gradient's activations the passes cover the last cases, chunk by chunk."""
    network, parameters, inputs, targets = problem("bernoulli")
    batch, seen = MiniBatch(network, parameters, inputs, targets, chunk_size=10), []
    forward = network.forward
    network.forward = lambda parameters, given: seen.append(given) or forward(parameters, given)
    batch.fisher_gram([parameters], cases)
    assert torch.equal(torch.cat(seen), inputs[-cases:])
    assert max(len(part) for part in seen) <= 10
    assert all(
        part.untyped_storage().data_ptr() == inputs.untyped_storage().data_ptr() for part in seen
    )


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_noise_of_a_case_does_not_depend_on_where_its_chunk_begins(output):
    distribution = Network([2, 3], [], output).distribution
    like = torch.zeros(1, dtype=torch.float64)
    noise = noise_for_cases(distribution, 0, CASES, 3, seed=9, like=like)
    for first, last in [(0, 1), (5, 300), (BLOCK_CASES, BLOCK_CASES + 1), (250, CASES)]:
        part = noise_for_cases(distribution, first, last, 3, seed=9, like=like)
        assert torch.equal(part, noise[first:last])
    assert not torch.equal(noise[:BLOCK_CASES], noise[BLOCK_CASES : 2 * BLOCK_CASES])


def test_targets_that_are_the_inputs_are_moved_once():
    network = Network([3, 2, 3], ["logistic"], "bernoulli")
    parameters = sparse_initialization(network, torch.Generator().manual_seed(0))
    inputs = torch.rand(4, 3, dtype=torch.float64)
    batch = MiniBatch(network, parameters, inputs, inputs, 3)
    assert all(x is y for _, x, y in batch._chunks())


@pytest.mark.parametrize(
    ("inputs", "targets", "chunk_size", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, 3), 2, "at least one"),
        (torch.zeros(4, 3), torch.zeros(5, 3), 2, "4 inputs, 5 targets"),
        (torch.zeros(4, 3), torch.zeros(4, 3), 0, "chunk_size=0"),
    ],
)
def test_invalid_mini_batches_are_refused(inputs, targets, chunk_size, message):
    network = Network([3, 2, 3], ["logistic"], "bernoulli")
    with pytest.raises(ValueError, match=message):
        MiniBatch(network, [], inputs, targets, chunk_size)
