"""K-FAC as a torch.optim.Optimizer for a module of one's own."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from kfac_cli.engine import KFAC, KFACOptions, Network, StepRecord
from kfac_cli.engine.options.network import Output
from kfac_cli.engine.parameters import l2_penalty
from kfac_cli.own_network.batch import as_batch
from kfac_cli.own_network.continuing import (
    option_group,
    options_of,
    refuse_rate,
    resumed,
    saved_state,
    with_options,
)
from kfac_cli.own_network.layers import Perceptron, read_perceptron
from kfac_cli.own_network.trainable import (
    check_alone,
    check_generator,
    check_trainable,
    check_unchanged,
)


class KFACOptimizer(torch.optim.Optimizer):
    """K-FAC (Martens and Grosse, 2015) on the parameters of a multi-layer perceptron.

    `module` is a `torch.nn.Sequential`, possibly nested, of Linear layers with biases, Flatten, and
    Sigmoid, Tanh, ReLU or Identity. `output` names the loss: `categorical` is the cross-entropy of
    classes, whose logits the last layer gives, `bernoulli` that of independent probabilities,
    summed over outputs, and `gaussian` half the squared error, summed over outputs. A function
    after the last layer that makes logits probabilities (Softmax, LogSoftmax, Sigmoid) is part of
    the loss. `options` are those of `KFACOptions` (docs/settings.md); they stand in
    `param_groups[0]`, where they may be changed between steps, but once a step was made not those
    that its state or its beginning depends on: `inverse`, `l2_product`, `lambda_initial`
    and `gamma_initial`.
    `tau1` and `tau2` suit mini-batches of thousands: with hundreds of cases, set both to 1, or the
    curvature comes from a few dozen. Random targets are drawn with `generator`, which is on
    the CPU, a new one with seed 0 if it is None.

    There is no learning rate for a scheduler: K-FAC computes its step size. Gradients of the module
    are neither used nor changed, and its hooks are not called. `record` is the `StepRecord` of the
    last step: objective with ℓ₂, error, step size, damping, and whether the step was taken.

    Trains in a single process. Raises ValueError, in one line that names the layer or the option,
    for what does not fit.
    """

    def __init__(
        self,
        module: nn.Sequential,
        output: Output,
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        for name in options:
            refuse_rate(name)
        chosen = KFACOptions(**options)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        check_generator(generator)
        check_alone()
        self._module, self._output = module, output
        self.record: StepRecord | None = None
        perceptron, network = self._trainable()
        self._kfac = KFAC(network, perceptron.parameters, chosen, generator)
        super().__init__(module.parameters(), asdict(chosen))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse a second group with ValueError: the module's parameters are the only one."""
        if self.param_groups:
            raise ValueError("add_param_group: K-FAC trains one module; make another optimizer")
        super().add_param_group(option_group(param_group))

    def step(self, inputs: Tensor, targets: Tensor) -> float:  # type: ignore[override]
        """Update the module in place from a mini-batch; return its mean loss before the update.

        The cases must be in random order, as a DataLoader with shuffle=True gives them: the first
        ones (the fraction `tau1`) serve for the curvature, the last ones (`tau2`) for the step
        size. `inputs` are (m, d_0), or (m, ...) if the module starts with Flatten. `targets` are
        integer labels (m,) or probabilities (m, d_ℓ) for `categorical`, else (m, d_ℓ), or (m,) for
        one output. Both are converted to the dtype and device of the parameters.

        The parameters are read from the module at every step. Those that were changed since the
        last one are what this step continues from, and no step is reverted past the change.
        Otherwise a step that made the objective grow too much is reverted by the next one.

        Raises ValueError for tensors, options or a module that do not fit; then nothing changes.
        """
        perceptron, network = self._trainable()
        check_unchanged(perceptron, network, self._kfac, self.param_groups[0]["params"])
        inputs, targets = as_batch(inputs, targets, network, flatten=perceptron.flattens)
        self._kfac = kfac = with_options(self._kfac, options_of(self.param_groups[0]))
        before = perceptron.parameters
        if all(map(torch.equal, before, kfac.parameters)):
            before = kfac.parameters
        else:
            kfac.replace_parameters(before)
        with torch.no_grad(), torch.autocast(before[0].device.type, enabled=False):
            self.record = kfac.step(inputs, targets)
            perceptron.set_parameters(kfac.parameters)
        return self.record.objective - float(l2_penalty(before, kfac.options.l2))

    def state_dict(self) -> dict[str, Any]:
        """The options and what K-FAC has learnt, for `load_state_dict`; save the module's too.

        It has numbers, words, tensors and containers, which `torch.load(weights_only=True)` reads.
        A step after loading this and the module's state equals, bit for bit, the next one here.
        """
        self._fill_state()
        state = super().state_dict()
        self.state.clear()  # or it would keep those tensors alive
        return state

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made from, the module included."""
        self._fill_state()
        own = {"record": self.record, "_module": self._module, "_output": self._output}
        filled = {"state": dict(self.state)}
        self.state.clear()
        return super().__getstate__() | filled | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Continue from a copy's state or, in `load_state_dict`, from options and K-FAC's state."""
        vars(self).update({name: state[name] for name in ("_module", "_output") if name in state})
        perceptron, network = self._trainable()
        [group] = state["param_groups"]
        options = options_of(group)
        kfac = resumed(network, perceptron.parameters, options, state["state"])
        group = option_group({**asdict(options), **group})
        super().__setstate__({**state, "param_groups": [group]})
        self.state.clear()
        if (earlier := vars(self).get("_kfac")) is not None:
            kfac.generator = earlier.generator.set_state(kfac.generator.get_state())
        self._kfac = kfac

    def _fill_state(self) -> None:
        """Put the state of K-FAC where torch looks for it; its keys need not be parameters."""
        self.state.update(saved_state(self._kfac))  # type: ignore[arg-type]

    def _trainable(self) -> tuple[Perceptron, Network]:
        """The module's layers, which K-FAC can train, and its network."""
        perceptron = read_perceptron(self._module)
        check_trainable(perceptron)
        return perceptron, perceptron.network(self._output)
