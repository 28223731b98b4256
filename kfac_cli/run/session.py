"""The state of one run: network, optimizer, average, schedule, generators."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kfac_cli.config.schema import RunConfig
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine import (
    Network,
    Optimizer,
    Parameters,
    PolyakAverage,
    StepRecord,
    initial_parameters,
)
from kfac_cli.engine.matmul import choose_products
from kfac_cli.engine.processes import Processes
from kfac_cli.engine.registry import make_optimizer
from kfac_cli.engine.state_rules import Rule, Rules, count, flag, generator, like, record
from kfac_cli.errors import UserError
from kfac_cli.recording.environment import environment
from kfac_cli.recording.values import Row
from kfac_cli.run.batches import Cases, draw_batch, training_cases
from kfac_cli.run.best import Best
from kfac_cli.schedules import Schedule

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass
class Session:
    """The state of a run; `step` draws a mini-batch and advances it by one iteration.

    `training` has the training cases of `dataset` where mini-batches are drawn from them.
    `rejections` counts the iterations that took no step, `rejections_in_a_row` those since the last
    step that was not reverted. `diverged` means that the optimizer could not take a step and does
    not adapt, so that another try would end the same. `earlier` counts the iterations that another
    run's optimizer did, and `origin` is the iteration with which this run began; both are 0 unless
    it started from another. `best` covers the evaluations of this run alone. `mixed_environment`
    means that earlier iterations were done in another environment, so that the seconds are mixed.
    """

    network: Network
    optimizer: Optimizer
    average: PolyakAverage
    schedule: Schedule
    batches: torch.Generator
    dataset: Dataset
    training: Cases
    cases: int = 0
    rejections: int = 0
    rejections_in_a_row: int = 0
    diverged: bool = False
    last_step_taken: bool = False
    earlier: int = 0
    origin: int = 0
    best: Best = field(default_factory=Best)
    mixed_environment: bool = False

    @property
    def iteration(self) -> int:
        """The number of iterations done."""
        return self.earlier + self.optimizer.iteration

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.optimizer.parameters[0].device

    @property
    def environment(self) -> dict[str, object]:
        """What results, timings and bitwise equality depend on besides the settings."""
        return {
            **environment(self.device),
            "matmul": self.network.products.name,
            "chunk_size": self.optimizer.chunk_size,
            "processes": self.network.processes.count,
            "mixed_environment": self.mixed_environment,
        }

    def step(self) -> tuple[int, StepRecord]:
        """Do one iteration; return the size of its mini-batch and the optimizer's record."""
        size = self.schedule.size(self.iteration + 1)
        inputs, targets = draw_batch(self.training, size, self.batches)
        measure = size > 1 and self.schedule.wants_noise_scale(self.iteration + 1)
        record = self.optimizer.step(inputs, targets, measure_noise=measure)
        self.schedule.observe(record)
        self.cases += size
        if record.outcome == "reverted":
            self.average.undo()
        if self.last_step_taken and record.outcome != "reverted":
            self.rejections_in_a_row = 0  # the last step stays
        if record.outcome == "accepted":
            self.average.update(self.iteration, self.optimizer.parameters)
        elif self.optimizer.adapts:
            self.rejections += 1
            self.rejections_in_a_row += 1
        else:
            self.diverged = True
        self.last_step_taken = record.outcome == "accepted"
        return size, record

    def include_evaluation(self, row: Row) -> None:
        """Note an evaluation at the current iteration, a row of evaluations.csv."""
        iterate = self.optimizer.parameters
        self.best.include(row, iterate, self.average.parameters or iterate)

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resumption needs, as a tree for `write_tree`."""
        return {
            "parameters": list(self.optimizer.parameters),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "schedule": self.schedule.state_dict(),
            "batches": self.batches.get_state(),
            "cases": self.cases,
            "rejections": self.rejections,
            "rejections_in_a_row": self.rejections_in_a_row,
            "last_step_taken": self.last_step_taken,
            "earlier": self.earlier,
            "origin": self.origin,
            "best": self.best.state_dict(),
        }

    def check(self, state: object) -> None:
        """Raise StateError, naming the value, unless `state_dict` can return this."""
        record(self._rules(), self._rules_beside)(state, "session")

    def check_some(self, state: object, names: Iterable[str]) -> None:
        """Raise StateError unless `state_dict` can return values such as these at this iteration.

        Other values in `state` are not checked.
        """
        rules = self._rules() | self._totals(self.iteration)
        record({name: rules[name] for name in names}, others=True)(state, "session")

    def _rules(self) -> dict[str, Rule]:
        """What each value of the state may be."""
        parameters = self.optimizer.parameters
        counts = ("cases", "rejections", "rejections_in_a_row", "earlier", "origin")
        return {
            "parameters": like(parameters),
            "optimizer": self.optimizer.state_rules(),
            "average": self.average.state_rules(parameters),
            "schedule": self.schedule.state_rules(),
            "batches": generator,
            "last_step_taken": flag,
            **dict.fromkeys(counts, count()),
        }

    def _rules_beside(self, state: Mapping[str, Any]) -> Rules:
        """What the counts may be beside each other, and what was best until then."""
        origin, iteration = state["origin"], state["earlier"] + state["optimizer"]["iteration"]
        return {
            **self._totals(iteration),
            "origin": count(state["earlier"], iteration),
            "rejections_in_a_row": count(0, state["rejections"]),
            "best": self.best.state_rules(self.optimizer.parameters, origin, iteration),
        }

    def _totals(self, iteration: int) -> dict[str, Rule]:
        """What so many iterations may add up to: each has at least one case, and at most |S|."""
        largest = len(self.dataset.train_inputs)
        return {
            "cases": count(iteration, iteration * largest),
            "rejections": count(0, iteration),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on the session's device.

        Raises StateError, naming the value, if it is not what `state_dict` of such a session can
        return; this one is then unchanged.
        """
        state = to_device(state, self.device)
        self.check(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.schedule.load_state_dict(state["schedule"])
        self.batches.set_state(state["batches"])
        self.cases = state["cases"]
        self.rejections = state["rejections"]
        self.rejections_in_a_row = state["rejections_in_a_row"]
        self.last_step_taken = state["last_step_taken"]
        self.earlier, self.origin = state["earlier"], state["origin"]
        self.best.load_state_dict(state["best"])


def to_device(
    tree: Any,
    device: torch.device,
    before: torch.dtype | None = None,
    dtype: torch.dtype | None = None,
    known: dict[int, Tensor] | None = None,
) -> Any:
    """A tree with its tensors on `device`, each moved once; generator states (bytes) stay.

    Those of the dtype `before`, if given, get `dtype`.
    """
    known = {} if known is None else known
    if isinstance(tree, dict):
        return {key: to_device(value, device, before, dtype, known) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [to_device(value, device, before, dtype, known) for value in tree]
    if not isinstance(tree, Tensor) or not tree.is_floating_point():
        return tree
    if id(tree) not in known:
        known[id(tree)] = tree.to(device, dtype if tree.dtype == before else None)
    return known[id(tree)]


def make_session(
    config: RunConfig,
    dataset: Dataset,
    device: torch.device,
    earlier: int = 0,
    parameters: Parameters | None = None,
) -> Session:
    """A new session; `earlier` iterations of another optimizer led to its `parameters`, if any.

    Raises StateError if these are not parameters of the network.

    The seed gives three independent streams: initial parameters, mini-batches and the targets
    sampled by the optimizer. So optimizers with the same seed share initial parameters and
    mini-batches.
    """
    master = torch.Generator().manual_seed(config.seed)
    initial, batches, targets = (_child(master) for _ in range(3))
    setup = config.dataset
    dtype = DTYPES[config.dtype]
    products = choose_products(config.matmul, device, dtype)
    network = Network(
        setup.layer_sizes,
        setup.activations,
        setup.output,
        products=products,
        processes=Processes.here(),
    )
    drawn = initial_parameters(network, initial, setup.initialization, setup.connections)
    drawn = [w.to(device, dtype) for w in drawn]
    if parameters is not None:
        like(drawn)(parameters, "session.parameters")
    training = training_cases(dataset, device)  # first: chunks get what is left of a GPU's memory
    planned = config.iterations - earlier
    return Session(
        network=network,
        optimizer=make_optimizer(network, parameters or drawn, config.optimizer, targets, planned),
        average=PolyakAverage(config.polyak.decay, config.polyak.start),
        schedule=config.schedule.make(dataset.train_inputs.shape[0]),
        batches=batches,
        dataset=dataset,
        training=training,
        earlier=earlier,
    )


def choose_device(setting: str, turn: int | None = None) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` uses a GPU if there is one.

    `turn` is the number of a run beside others, which take the GPUs in turn unless N is given;
    without, the current GPU is used. Raises UserError for a GPU that does not exist.
    """
    available = torch.cuda.is_available()
    if setting == "cpu" or (setting == "auto" and not available):
        return torch.device("cpu")
    if not available:
        raise UserError(f"device={setting}: no CUDA device was found; use device=auto or cpu")
    count, device = torch.cuda.device_count(), torch.device("cuda")
    if setting.startswith("cuda:"):
        device = torch.device(setting)
        if device.index >= count:
            known = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
            raise UserError(f"device={setting}: there is no such GPU; this machine has {known}")
    elif turn is not None:
        device = torch.device("cuda", turn % count)
    return device


def _child(master: torch.Generator) -> torch.Generator:
    seed = int(torch.randint(2**62, (), generator=master).item())
    return torch.Generator().manual_seed(seed)
