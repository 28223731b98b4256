"""A trial of kfac-jax, in its own environment and process.

    python jax_trial.py SPECIFICATION

The options are those of its example for the MNIST autoencoder, adaptive damping, learning rate and
momentum, but for λ₀; its burn-in uses the first mini-batch. The network, the initial parameters and
the mini-batches are kfac-run's, from the files that the specification names. Compilation is timed
by first steps whose results are dropped: what they take longer than the same steps again. Needs
none of kfac-run's modules but the clock beside it; prints a line of JSON.
"""

import importlib
import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

L2 = 1e-5
WARM_UP = 7
"""Steps until everything is compiled: damping is adapted every fifth."""

ACTIVATIONS = {"logistic": "sigmoid", "linear": None}


def run(specification: dict[str, Any]) -> dict[str, Any]:
    """The result of the trial: its `points`, and the seconds of compilation and of steps."""
    if hasattr(os, "sched_setaffinity"):  # before JAX starts its threads
        cores = sorted(os.sched_getaffinity(0))[: specification["threads"]]
        os.sched_setaffinity(0, cores)
    import jax
    import kfac_jax
    import numpy as np
    from jax import numpy as jnp

    folder = Path(specification["folder"])
    train = np.load(folder / "train.npy", mmap_mode="r")
    order = np.load(folder / "order.npy")
    saved = np.load(folder / "parameters.npz")
    weights = [saved[f"arr_{i}"] for i in range(len(saved.files))]
    initial = [{"w": w[:, :-1].T.copy(), "b": w[:, -1].copy()} for w in weights]
    names = [ACTIVATIONS[name] for name in specification["activations"]]
    functions = [getattr(jax.nn, name) if name else (lambda x: x) for name in names]

    def logits(parameters: Any, inputs: Any) -> Any:
        for layer, function in zip(parameters[:-1], functions, strict=True):
            inputs = function(inputs @ layer["w"] + layer["b"])
        return inputs @ parameters[-1]["w"] + parameters[-1]["b"]

    def objective(parameters: Any, inputs: Any) -> Any:
        out = logits(parameters, inputs)
        kfac_jax.register_multi_bernoulli_predictive_distribution(out, inputs)
        loss = jnp.sum(jnp.logaddexp(out, 0) - out * inputs, axis=1)
        squares = [jnp.sum(value**2) for value in jax.tree_util.tree_leaves(parameters)]
        return jnp.mean(loss) + L2 / 2 * sum(squares)

    def sum_of_errors(parameters: Any, inputs: Any) -> Any:
        return jnp.sum((jax.nn.sigmoid(logits(parameters, inputs)) - inputs) ** 2)

    errors = jax.jit(sum_of_errors)
    optimizer = kfac_jax.Optimizer(
        jax.value_and_grad(objective),
        l2_reg=L2,
        value_func_has_aux=False,
        value_func_has_state=False,
        value_func_has_rng=False,
        use_adaptive_learning_rate=True,
        use_adaptive_momentum=True,
        use_adaptive_damping=True,
        damping_adaptation_interval=5,
        damping_adaptation_decay=0.95,
        initial_damping=specification["damping"],
        min_damping=1e-5,
        max_damping=1000.0,
        inverse_update_period=5,
        num_burnin_steps=5,
        curvature_ema=0.95,
        multi_device=False,
    )
    key = jax.random.PRNGKey(specification["seed"])

    def batch(iteration: int) -> Any:
        return jnp.asarray(train[order[iteration]])

    class State:
        """Parameters and the optimizer's state, which a step replaces."""

        def __init__(self) -> None:
            self.parameters = jax.tree_util.tree_map(jnp.asarray, initial)
            self.iteration = 0
            self.state = optimizer.init(self.parameters, key, batch(0))
            self.spent: list[float] = []

        def step(self) -> bool:
            started = perf_counter()
            self.parameters, self.state, _ = optimizer.step(
                self.parameters,
                self.state,
                jax.random.fold_in(key, self.iteration),
                data_iterator=self.batches(),
                global_step_int=self.iteration,
            )
            jax.block_until_ready(self.parameters)
            self.iteration += 1
            self.spent.append(perf_counter() - started)
            return self.iteration < len(order)

        def batches(self) -> Iterator[Any]:
            """The mini-batch of this iteration as often as it is asked for: burn-in takes five."""
            while True:
                yield batch(self.iteration)

        def error(self) -> float:
            cases = min(int(specification["evaluated_cases"]), len(train))
            rows = (train[i : min(i + 2000, cases)] for i in range(0, cases, 2000))
            return sum(float(errors(self.parameters, part)) for part in rows) / cases

    warm_up = State()
    for _ in range(WARM_UP):
        warm_up.step()
    warm_up.error()
    state = State()
    last_target, limit = specification["last_target"], specification["seconds"]
    points = _clock().curve(state.step, state.error, last_target, limit)
    usual = statistics.median(state.spent)
    return {
        "points": points,
        "compilation": max(sum(warm_up.spent) - sum(state.spent[:WARM_UP]), 0.0),
        "step": usual,
        "versions": f"kfac-jax {kfac_jax.__version__}, jax {jax.__version__}",
    }


def _clock() -> Any:
    """The module beside this file, whose package this environment lacks."""
    sys.path.insert(0, str(Path(__file__).parent))
    return importlib.import_module("clock")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
