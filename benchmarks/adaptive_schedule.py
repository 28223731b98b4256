"""The cost of measuring the gradient's variance for the adaptive schedule.

    python -m benchmarks.adaptive_schedule [PAIRS]

Steps of the same optimizer alternate with and without the measurement. A row gives the median ratio
of the times of successive steps, for K-FAC (without a refresh of the inverse), for the baseline and
for the computation of loss and gradient alone. Times are CPU times of the process, which depend
little on other load; cases are random.
"""

import itertools
import statistics
import sys
from collections.abc import Callable, Iterator
from time import process_time

import torch

from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    NesterovOptions,
    NesterovSGD,
    Network,
    sparse_initialization,
)
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS

CURVES = [784, 400, 200, 100, 50, 25, 6, 25, 50, 100, 200, 400, 784]
MNIST = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
PROBLEMS = {
    "CURVES": (CURVES, "logistic", "bernoulli"),
    "MNIST": (MNIST, "logistic", "bernoulli"),
    "MNIST labels": ([784, 400, 200, 10], "relu", "categorical"),
}
SIZES = (500, 4000)
NEVER = 10**9


def ratio(work: Callable[[bool], object], pairs: int) -> float:
    """Median ratio of CPU times of successive calls, with over without the measurement."""

    def seconds(measure: bool) -> float:
        started = process_time()
        work(measure)
        return process_time() - started

    work(True)
    orders: Iterator[tuple[bool, bool]] = itertools.cycle([(True, False), (False, True)])
    times = [{measure: seconds(measure) for measure in next(orders)} for _ in range(pairs)]
    return statistics.median(pair[True] / pair[False] for pair in times)


def row(problem: str, cases: int, pairs: int) -> tuple[float, float, float]:
    """The three ratios for mini-batches of `cases` cases."""
    sizes, hidden, output = PROBLEMS[problem]
    generator = torch.Generator().manual_seed(0)
    network = Network(sizes, [hidden] * (len(sizes) - 2), output)
    start = [w.float() for w in sparse_initialization(network, generator)]
    inputs = torch.rand(cases, sizes[0], generator=generator)
    targets = inputs if sizes[0] == sizes[-1] else torch.eye(sizes[-1])[:1].repeat(cases, 1)
    options = KFACOptions(lambda_initial=150, tikhonov="factored", t2=NEVER, t3=NEVER)
    kfac = KFAC(network, start, options, generator)
    baseline = NesterovSGD(network, start, NesterovOptions(learning_rate=1e-4))
    for _ in range(FIRST_ITERATIONS):
        kfac.step(inputs, targets)

    def gradient(measure: bool) -> object:
        return MiniBatch(network, start, inputs, targets, 2000).first_order(variance=measure)

    return (
        ratio(lambda measure: kfac.step(inputs, targets, measure_noise=measure), pairs),
        ratio(lambda measure: baseline.step(inputs, targets, measure_noise=measure), pairs),
        ratio(gradient, pairs),
    )


def main() -> None:
    """Print the table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(f"{torch.get_num_threads()} threads; time with the measurement / without it")
    print(f"{'':14} {'cases':>6} {'K-FAC step':>11} {'baseline step':>14} {'gradient':>9}")
    for problem, cases in itertools.product(PROBLEMS, SIZES):
        kfac, baseline, gradient = row(problem, cases, pairs)
        print(f"{problem:14} {cases:6} {kfac:11.3f} {baseline:14.3f} {gradient:9.3f}", flush=True)


if __name__ == "__main__":
    main()
