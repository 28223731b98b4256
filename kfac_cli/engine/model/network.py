"""Feed-forward networks: section 2.1, algorithm 1, and the J·v pass of appendix C."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from kfac_cli.engine.model.activations import ACTIVATIONS, Activation
from kfac_cli.engine.model.distributions import DISTRIBUTIONS, Distribution
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.engine.products import BLAS, Products


@dataclass(frozen=True)
class Activations:
    """The results of a forward pass for m cases.

    `homogeneous[i]` is ā_i of shape (m, d_i + 1), i = 0…ℓ-1; `logits` is s_ℓ, (m, d_ℓ).
    """

    homogeneous: list[Tensor]
    logits: Tensor

    @property
    def cases(self) -> int:
        """The number m of cases."""
        return self.logits.shape[0]

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return sum(each.numel() * each.element_size() for each in (*self.homogeneous, self.logits))

    def part(self, rows: slice) -> "Activations":
        """Views of some of the cases."""
        return Activations([a[rows] for a in self.homogeneous], self.logits[rows])

    def copied(self) -> "Activations":
        """The same in memory of their own, so that what they are views of can be freed."""
        return Activations([a.clone() for a in self.homogeneous], self.logits.clone())


class Network:
    """A feed-forward network that parameterises a predictive distribution R(y|s_ℓ).

    `layer_sizes` are d_0 … d_ℓ; `activations` names φ_1 … φ_{ℓ-1} (`logistic`, `tanh`, `relu`,
    `linear`); `output` is `bernoulli`, `gaussian` or `categorical`, with s_ℓ as its natural
    parameters. `products` makes the matrix products, those of its optimizer too: torch's own
    unless `choose_products` has chosen others. `processes` share the cases of its mini-batches.
    Raises ValueError for sizes below 1, unknown names, or lengths that do not match.
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activations: Sequence[str],
        output: str,
        *,
        products: Products = BLAS,
        processes: Processes = ALONE,
    ) -> None:
        _check(layer_sizes, activations, output)
        self.layer_sizes = tuple(layer_sizes)
        self.activations = tuple(activations)
        self.output = output
        self.products = products
        self.processes = processes
        self.distribution: Distribution = DISTRIBUTIONS[output]()
        self._functions: list[Activation] = [ACTIVATIONS[name]() for name in activations]

    @property
    def parameter_shapes(self) -> list[tuple[int, int]]:
        """Shapes of W_1 … W_ℓ."""
        return [(d, below + 1) for below, d in pairwise(self.layer_sizes)]

    def forward(self, parameters: Parameters, inputs: Tensor) -> Activations:
        """Algorithm 1, forward: s_i = W_i ā_{i-1}, a_i = φ_i(s_i), for `inputs` (m, d_0)."""
        multiply = self.products.multiply
        below = _homogeneous(inputs.shape[0], inputs.shape[1], inputs)
        below[:, :-1] = inputs
        homogeneous = [below]
        for weights, function in zip(parameters[:-1], self._functions, strict=True):
            activities = _homogeneous(inputs.shape[0], weights.shape[0], inputs)
            function.apply(multiply(below, weights.T), out=activities[:, :-1])
            homogeneous.append(activities)
            below = activities
        return Activations(homogeneous, multiply(below, parameters[-1].T))

    def backward(
        self, parameters: Parameters, activations: Activations, output_gradient: Tensor
    ) -> list[Tensor]:
        """Algorithm 1, backward: g_1 … g_ℓ, each (m, d_i), from g_ℓ = dL/ds_ℓ (m, d_ℓ)."""
        gradients = [output_gradient]
        for layer in range(len(self._functions) - 1, -1, -1):
            weights = parameters[layer + 1][:, :-1]
            through_weights = self.products.multiply(gradients[0], weights)
            activities = activations.homogeneous[layer + 1][:, :-1]
            function = self._functions[layer]
            gradients.insert(0, function.times_derivative(through_weights, activities))
        return gradients

    def parameter_gradient(self, activations: Activations, gradients: list[Tensor]) -> Parameters:
        """Σ DW_i = Σ g_i ā_{i-1}ᵀ over the m cases, shaped like the parameters."""
        pairs = zip(gradients, activations.homogeneous, strict=True)
        return [self.products.multiply(g.T, a) for g, a in pairs]

    def jacobian_product(
        self, parameters: Parameters, activations: Activations, directions: Sequence[Parameters]
    ) -> Tensor:
        """J v = ds_ℓ/dθ · v for D directions v at once, (D, m, d_ℓ) (appendix C).

        A linearised forward pass, with one matrix product by each W_i for all directions.
        """
        count = len(directions)
        cases = activations.logits.shape[0]
        tangent: Tensor | None = None  # Ra_{i-1}, (D, m, d_{i-1}); None for the inputs
        for layer, weights in enumerate(parameters):
            if layer > 0 and tangent is not None:
                function = self._functions[layer - 1]
                below = activations.homogeneous[layer][:, :-1]
                tangent = function.times_derivative(tangent, below)
            sums = weights.new_empty(count, cases, weights.shape[0])
            if tangent is not None:
                self.products.write(
                    tangent.view(count * cases, -1),
                    weights[:, :-1].T,
                    out=sums.view(count * cases, -1),
                )
            for direction, output in zip(directions, sums, strict=True):
                change = direction[layer].T
                if tangent is None:
                    self.products.write(activations.homogeneous[layer], change, out=output)
                else:
                    self.products.add(activations.homogeneous[layer], change, out=output)
            tangent = sums
        assert tangent is not None
        return tangent


def _homogeneous(cases: int, width: int, like: Tensor) -> Tensor:
    """An ā (m, d+1) that has only its homogeneous coordinate, 1, filled in."""
    units = like.new_empty(cases, width + 1)
    units[:, -1] = 1
    return units


def _check(layer_sizes: Sequence[int], activations: Sequence[str], output: str) -> None:
    if len(layer_sizes) < 2 or min(layer_sizes) < 1:
        raise ValueError(f"layer_sizes={list(layer_sizes)}: needs two or more sizes of 1 or more")
    if len(activations) != len(layer_sizes) - 2:
        raise ValueError(
            f"activations={list(activations)}: needs {len(layer_sizes) - 2} names, "
            "one for each layer but the last"
        )
    for name in activations:
        if name not in ACTIVATIONS:
            raise ValueError(f"activations: unknown {name!r}; known: {', '.join(ACTIVATIONS)}")
    if output not in DISTRIBUTIONS:
        raise ValueError(f"output={output!r}: unknown; known: {', '.join(DISTRIBUTIONS)}")
