"""Whether float32 drifts from float64 over a long run with both dampings at their lower bounds.

    python -m benchmarks.precision [ITERATIONS] [OVERRIDE ...]

CURVES with fewer cases, by default 2,000 iterations, in float64, in float32, and in float64 with
different sampled targets, whose effect is the scale for the drift of float32. A row gives the
training errors; the last lines give the lowest λ and γ, rejected steps and numerical fallbacks.
Takes about half an hour on two cores.
"""

import sys

import torch

from kfac_cli.config.compose import load_config
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.registry import load_dataset
from kfac_cli.engine import KFAC
from kfac_cli.run.evaluation import evaluate_session
from kfac_cli.run.session import Session, make_session

SETTINGS = [
    "dataset.train_cases=1000",
    "dataset.test_cases=100",
    "schedule.initial=500",
    "schedule.full_at=200",
    "polyak.start=1000000",
]
RUNS = {
    "float64": ("float64", None),
    "float32": ("float32", None),
    "float64, other targets": ("float64", 1),
}


def main() -> None:
    """Run all three in parallel and print a row every hundred iterations."""
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sessions = {name: start(dtype, seed) for name, (dtype, seed) in RUNS.items()}
    lowest = {name: (float("inf"), float("inf")) for name in RUNS}
    print(f"{'iteration':>9}", *(f"{name:>24}" for name in RUNS))
    for iteration in range(1, iterations + 1):
        for name, session in sessions.items():
            session.step()
            damping, gamma = lowest[name]
            optimizer = kfac(session)
            lowest[name] = min(damping, optimizer.damping), min(gamma, optimizer.gamma)
        if iteration % 100 == 0 or iteration == iterations:
            errors = [evaluate_session(s).train.error for s in sessions.values()]
            print(f"{iteration:9}", *(f"{error:24.6g}" for error in errors), flush=True)
    for name, session in sessions.items():
        print(f"{name}: lowest lambda {lowest[name][0]:.3g}, lowest gamma {lowest[name][1]:.3g},")
        print(f"    rejected {session.rejections}, fallbacks {session.optimizer.fallbacks}")


def start(dtype: str, targets_seed: int | None) -> Session:
    """A session of the experiment, with another seed for the sampled targets if one is given."""
    config = load_config([*SETTINGS, *sys.argv[2:], f"dtype={dtype}"])
    dataset = load_dataset(config.dataset, resolve_data_dir(config.data_dir), dtype)
    session = make_session(config, dataset, torch.device("cpu"))
    if targets_seed is not None:
        kfac(session).generator.manual_seed(targets_seed)
    return session


def kfac(session: Session) -> KFAC:
    """The session's optimizer, which is K-FAC."""
    assert isinstance(session.optimizer, KFAC)
    return session.optimizer


if __name__ == "__main__":
    main()
