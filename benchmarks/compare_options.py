"""The effect of options on convergence: MNIST error at equal iterations and at equal seconds.

    python -m benchmarks.compare_options [ITERATIONS] [SECONDS] [OVERRIDE ...]

Each row is a run of `kfac-run`, all with the same seed, mini-batches and initial parameters, except
for the second, which shows the effect of another seed. Errors are those of the mini-batch before
the update, averaged over the last five iterations, and times include training only: a run that
ended before SECONDS has a dash, and its own seconds, in that column. Runs are saved in
outputs/compare_options.
"""

import io
import shutil
import sys
from pathlib import Path

from kfac_cli.config.compose import load_config
from kfac_cli.recording.csv_table import read_table
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run

VARIANTS = {
    "block-tridiagonal": [],
    "block-tridiagonal, another seed": ["seed=1"],
    "lambda_0 = 150, the paper's": ["optimizer.lambda_initial=150"],
    "block-diagonal": ["optimizer=kfac_diag", "optimizer.t3=20"],
    "block-diagonal, exact Tikhonov": [
        "optimizer=kfac_diag",
        "optimizer.t3=20",
        "optimizer.tikhonov=exact",
    ],
    "factored Tikhonov from the start": ["optimizer.tikhonov=factored"],
    "sigma by doubling": ["optimizer.sigma_solver=doubling"],
    "pi: Frobenius norm": ["optimizer.pi=frobenius"],
    "pi: spectral norm": ["optimizer.pi=spectral"],
    "pi = 1": ["optimizer.pi=one"],
    "tau_2 = 1": ["optimizer.tau2=1"],
    "empirical Fisher": ["optimizer.fisher=empirical"],
    "4 samples a case": ["optimizer.samples=4"],
    "3 CG steps": ["optimizer.cg_steps=3"],
    "F_0 = I": ["optimizer=sgd_kfac_momentum"],
    "no momentum": ["optimizer.momentum=false"],
    "no re-scaling, rate 0.1": [
        "optimizer.momentum=false",
        "optimizer.rescaling=false",
        "optimizer.learning_rate=0.1",
    ],
    "lambda fixed": ["optimizer.lambda_rule=fixed"],
    "gamma fixed": ["optimizer.gamma_rule=fixed"],
    "gamma tied to lambda": ["optimizer.gamma_rule=tied"],
    "adaptive schedule": ["schedule=adaptive"],
}
LAST = 5


def main() -> None:
    """Run every variant and print a row for each."""
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    overrides = [
        "dataset=mnist",
        "optimizer=kfac_tridiag",
        f"iterations={iterations}",
        f"evaluate_every={iterations}",
        *sys.argv[3:],
    ]
    at_iteration, at_seconds = f"error at {iterations}", f"error at {seconds:g} s"
    print(f"{'':32} {at_iteration:>14} {at_seconds:>14} {'seconds':>8}")
    for name, variant in VARIANTS.items():
        rows = metrics(name, [*overrides, "tensorboard=false", *variant])
        print(
            f"{name:32} {recent(rows):14.4g} {within(rows, seconds):>14} "
            f"{rows[-1]['optimizer_seconds']:8.1f}",
            flush=True,
        )


def metrics(name: str, overrides: list[str]) -> list[dict[str, float]]:
    """The table of metrics of one run."""
    folder = Path("outputs/compare_options") / "".join(c if c.isalnum() else "_" for c in name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = load_config(overrides)
    screen = sys.stdout
    sys.stdout = io.StringIO()
    try:
        with Progress(config.iterations, io.StringIO()) as progress:
            run(config, folder, progress)
    finally:
        sys.stdout = screen
    return read_table(folder / "metrics.csv")


def recent(rows: list[dict[str, float]]) -> float:
    """The mean error of the last few rows."""
    errors = [row["error"] for row in rows[-LAST:]]
    return sum(errors) / len(errors) if errors else float("nan")


def within(rows: list[dict[str, float]], seconds: float) -> str:
    """The error after so many seconds; a dash and the run's own seconds if it ended before."""
    if (ended := rows[-1]["optimizer_seconds"]) < seconds:
        return f"– ({ended:.3g} s)"
    return f"{recent([row for row in rows if row['optimizer_seconds'] <= seconds]):.4g}"


if __name__ == "__main__":
    main()
