"""Dense float64 oracles: the paper's formulas in their simplest form, for networks of a few units.

Nothing here is imported from the engine but `curvature/dense.py`, which uses nothing of the engine
itself (test_oracles.py). Derivatives are by autograd, expectations over targets by enumeration,
matrices are explicit, and parameters are one flat vector theta: the concatenated vec(W_i), where
vec stacks columns (section 2.1).
"""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise, product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical
from torch.func import grad, jacrev, vmap
from torch.nn.functional import one_hot

from kfac_cli.engine.curvature.dense import Statistics, blocks, f_tilde, unvec
from kfac_cli.engine.curvature.dense import tridiagonal as tridiagonal
from kfac_cli.engine.curvature.dense import vec as vec

OUTPUTS = ("bernoulli", "gaussian", "categorical")
ACTIVATIONS = ("logistic", "tanh", "relu", "linear")
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "linear": lambda s: s,
}


class Architecture(NamedTuple):
    """The three arguments of the engine's Network, in its order."""

    layer_sizes: tuple[int, ...]
    activations: tuple[str, ...]
    output: str


# --- the network as a function of one flat vector ------------------------------------------------


def forward(
    architecture: Architecture, theta: Tensor, case: Tensor, shifts: list[Tensor] | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """abar_0 ... abar_{l-1} and s_1 ... s_l of one case, each s_i plus its shift."""
    homogeneous, sums, units = [], [], case
    names = (*architecture.activations, "linear")
    for layer, weights in enumerate(unvec(theta, architecture.layer_sizes)):
        homogeneous.append(torch.cat([units, units.new_ones(1)]))
        total = weights @ homogeneous[-1]
        sums.append(total if shifts is None else total + shifts[layer])
        units = FUNCTIONS[names[layer]](sums[-1])
    return homogeneous, sums


def logits(architecture: Architecture, theta: Tensor, case: Tensor) -> Tensor:
    """The natural parameters s_l of one case."""
    return forward(architecture, theta, case)[1][-1]


def predictive(output: str, natural: Tensor) -> Distribution:
    """R(y|z) for natural parameters z."""
    if output == "bernoulli":
        return Independent(Bernoulli(logits=natural, validate_args=False), 1, validate_args=False)
    if output == "gaussian":
        return Independent(Normal(natural, 1.0, validate_args=False), 1, validate_args=False)
    return OneHotCategorical(logits=natural, validate_args=False)


def loss(output: str, natural: Tensor, target: Tensor) -> Tensor:
    """-log r(y|z); for the Gaussian without its constant, so that it is half the squared error."""
    distribution = predictive(output, natural)
    if output == "categorical":  # log_prob would use a soft target's largest class
        return -(target * distribution.logits).sum(-1)
    constant = 0.5 * math.log(2 * math.pi) * natural.shape[-1] if output == "gaussian" else 0.0
    return -distribution.log_prob(target) - constant


def objective(
    architecture: Architecture, theta: Tensor, inputs: Tensor, targets: Tensor, l2: float
) -> Tensor:
    """h: the mean loss plus eta/2 |theta|^2, biases included."""
    natural = vmap(lambda case: logits(architecture, theta, case))(inputs)
    return loss(architecture.output, natural, targets).mean() + 0.5 * l2 * theta.square().sum()


def gradient(
    architecture: Architecture, theta: Tensor, inputs: Tensor, targets: Tensor, l2: float
) -> Tensor:
    """The gradient of h by autograd."""
    return grad(lambda t: objective(architecture, t, inputs, targets, l2))(theta)


def jacobian(architecture: Architecture, theta: Tensor, inputs: Tensor) -> Tensor:
    """d s_l / d theta for every case, shape (m, d_l, n)."""
    return vmap(lambda case: jacrev(lambda t: logits(architecture, t, case))(theta))(inputs)


# --- small problems ------------------------------------------------------------------------------


class Problem(NamedTuple):
    """A random network with random cases; targets are in the output's support."""

    architecture: Architecture
    theta: Tensor
    inputs: Tensor
    targets: Tensor


def problem(architecture: Architecture, cases: int = 6, seed: int = 10) -> Problem:
    """Weights and inputs from N(0, 1); with the default seed no layer of relu units is dead."""
    generator = torch.Generator().manual_seed(seed)
    sizes = architecture.layer_sizes

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    theta, inputs = normal(blocks(sizes)[-1].stop), normal(cases, sizes[0])
    noise = normal(cases, sizes[-1])
    targets = {
        "bernoulli": (noise > 0).to(torch.float64),
        "gaussian": noise,
        "categorical": one_hot(noise.argmax(1), sizes[-1]).to(torch.float64),
    }[architecture.output]
    return Problem(architecture, theta, inputs, targets)


def some_vector(length: int, seed: int = 7) -> Tensor:
    """A direction in parameter space, N(0, I)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, generator=generator, dtype=torch.float64)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """|actual - expected| / |expected| in the Euclidean norm."""
    return ((actual - expected).norm() / expected.norm()).item()


def every_architecture(sizes: tuple[int, ...] = (3, 2, 3, 2)) -> list[Architecture]:
    """Every hidden activation with every output, at the given widths."""
    return [
        Architecture(sizes, (activation,) * (len(sizes) - 2), output)
        for activation in ACTIVATIONS
        for output in OUTPUTS
    ]


ODD_ARCHITECTURES = [
    Architecture((3, 2), (), "bernoulli"),  # no hidden layer
    Architecture((4, 3, 2), ("tanh",), "gaussian"),  # one hidden layer
    Architecture((3, 1, 2), ("logistic",), "categorical"),  # a layer of one unit
    Architecture((1, 2, 1), ("relu",), "bernoulli"),  # one input, one output
    Architecture((3, 2, 3, 2, 3, 2), ("logistic", "tanh", "relu", "linear"), "gaussian"),
]


# --- expectations over the model's own targets ---------------------------------------------------


def exact_targets(output: str, natural: Tensor) -> tuple[Tensor, Tensor]:
    """Targets (K, d) and their probabilities (K,), exact for every expectation quadratic in y.

    The discrete distributions are enumerated; for the Gaussian, the 2d sigma points
    z +- sqrt(d) e_i have its mean and covariance.
    """
    count, eye = len(natural), torch.eye(len(natural), dtype=natural.dtype)
    if output == "gaussian":
        steps = math.sqrt(count) * torch.cat([eye, -eye])
        return natural + steps, natural.new_full((2 * count,), 1 / (2 * count))
    bits = torch.tensor(list(product((0.0, 1.0), repeat=count)), dtype=natural.dtype)
    targets = bits if output == "bernoulli" else eye
    return targets, predictive(output, natural).log_prob(targets).exp()


def exact_cases(
    architecture: Architecture, theta: Tensor, inputs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Every input with every target it may get: inputs, targets and weights summing to one."""
    cases = [
        (case.expand(len(targets), -1), targets, probabilities / len(inputs))
        for case in inputs
        for targets, probabilities in [
            exact_targets(architecture.output, logits(architecture, theta, case))
        ]
    ]
    repeated, targets, weights = (torch.cat(column) for column in zip(*cases, strict=True))
    return repeated, targets, weights


def output_fisher(output: str, natural: Tensor) -> Tensor:
    """F_R = E[score score^T], the expectation over y, the score by autograd."""
    targets, probabilities = exact_targets(output, natural)
    scores = vmap(lambda y: grad(lambda z: loss(output, z, y))(natural))(targets)
    return torch.einsum("k,ka,kb->ab", probabilities, scores, scores)


def fisher(architecture: Architecture, theta: Tensor, inputs: Tensor) -> Tensor:
    """F = mean of J^T F_R J over the cases (appendix C), an (n, n) matrix."""
    total = theta.new_zeros(len(theta), len(theta))
    for case, jac in zip(inputs, jacobian(architecture, theta, inputs), strict=True):
        total += jac.T @ output_fisher(architecture.output, logits(architecture, theta, case)) @ jac
    return total / len(inputs)


# --- Kronecker-factored approximations (sections 3, 4 and 6.3) -----------------------------------


def unit_gradients(
    architecture: Architecture, theta: Tensor, case: Tensor, target: Tensor
) -> list[Tensor]:
    """g_1 ... g_l of one case: the loss's derivatives with respect to each s_i, by autograd."""

    def shifted(shifts: list[Tensor]) -> Tensor:
        natural = forward(architecture, theta, case, shifts)[1][-1]
        return loss(architecture.output, natural, target)

    return grad(shifted)([theta.new_zeros(size) for size in architecture.layer_sizes[1:]])


def statistics(
    architecture: Architecture,
    theta: Tensor,
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
) -> Statistics:
    """Abar_{i,j} and G_{i,j} for every i, j: weighted means over the given cases."""
    if weights is None:
        weights = theta.new_full((len(inputs),), 1 / len(inputs))
    units = vmap(lambda case: forward(architecture, theta, case)[0])(inputs)
    grads = vmap(lambda x, y: unit_gradients(architecture, theta, x, y))(inputs, targets)

    def moments(vectors: list[Tensor]) -> list[list[Tensor]]:
        return [[torch.einsum("m,ma,mb->ab", weights, u, v) for v in vectors] for u in vectors]

    return Statistics(moments(units), moments(grads))


def mixed(old: Statistics, new: Statistics, epsilon: float) -> Statistics:
    """The running estimate of section 5: epsilon old + (1 - epsilon) new."""
    return Statistics(
        *(
            [
                [epsilon * a + (1 - epsilon) * b for a, b in zip(*rows, strict=True)]
                for rows in zip(before, after, strict=True)
            ]
            for before, after in zip(old, new, strict=True)
        )
    )


def damped(stats: Statistics, gamma: float) -> Statistics:
    """Add pi_i gamma I to each Abar_{i-1,i-1} and gamma/pi_i I to each G_{i,i} (6.3 and 6.6)."""
    activation = [list(row) for row in stats.activation]
    grads = [list(row) for row in stats.gradient]
    for i in range(len(activation)):
        a, g = activation[i][i], grads[i][i]
        pi = math.sqrt((a.trace() / len(a)) / (g.trace() / len(g)))
        activation[i][i] = a + pi * gamma * torch.eye(len(a), dtype=a.dtype)
        grads[i][i] = g + gamma / pi * torch.eye(len(g), dtype=g.dtype)
    return Statistics(activation, grads)


def f_breve(tilde: Tensor, where: list[slice]) -> Tensor:
    """The block diagonal of F-tilde (section 4.2)."""
    return torch.block_diag(*(tilde[block, block] for block in where))


def f_hat(tilde: Tensor, where: list[slice]) -> Tensor:
    """The matrix with F-tilde's tridiagonal blocks and a block-tridiagonal inverse (section 4.3).

    It is the covariance of a Gaussian chain, whose precision is, by the junction-tree formula,
    the sum of the inverses of the marginals of neighbouring pairs minus those of single layers.
    """
    if len(where) == 1:
        return tilde
    precision = torch.zeros_like(tilde)
    for first, second in pairwise(where):
        pair = slice(first.start, second.stop)
        precision[pair, pair] += torch.linalg.inv(tilde[pair, pair])
    for inner in where[1:-1]:
        precision[inner, inner] -= torch.linalg.inv(tilde[inner, inner])
    return torch.linalg.inv(precision)


def approximate_fisher(inverse: str, stats: Statistics, gamma: float) -> Tensor:
    """F-breve or F-hat, damped, as an (n, n) matrix."""
    sizes = [len(stats.activation[0][0]) - 1, *(len(row[0]) for row in stats.gradient)]
    structure = f_breve if inverse == "block_diagonal" else f_hat
    return structure(f_tilde(damped(stats, gamma)), blocks(sizes))


def exactly_damped(stats: Statistics, gamma: float) -> Tensor:
    """F-breve + gamma^2 I, as an (n, n) matrix."""
    sizes = [len(stats.activation[0][0]) - 1, *(len(row[0]) for row in stats.gradient)]
    undamped = f_breve(f_tilde(stats), blocks(sizes))
    return undamped + gamma**2 * torch.eye(len(undamped), dtype=undamped.dtype)


# --- the quadratic model (sections 6.4 and 7) ----------------------------------------------------


def model_change(curvature: Tensor, slope: Tensor, delta: Tensor) -> Tensor:
    """M(delta) - M(0), the curvature holding F + (lambda + eta) I."""
    return 0.5 * delta @ curvature @ delta + slope @ delta


def best_coefficients(curvature: Tensor, slope: Tensor, directions: list[Tensor]) -> Tensor:
    """The coefficients that minimise M over a span, of least norm where they are not unique.

    A Newton step from zero, which is exact for a quadratic; derivatives by autograd.
    """
    basis = torch.stack(directions, dim=1)

    def value(coefficients: Tensor) -> Tensor:
        return model_change(curvature, slope, basis @ coefficients)

    zero = slope.new_zeros(len(directions))
    return -torch.linalg.pinv(jacrev(grad(value))(zero), hermitian=True) @ grad(value)(zero)


# --- algorithm 2 and its baseline, dense and naive -----------------------------------------------


class DenseKFAC:
    """Algorithm 2 with explicit matrices and inverses; only the sampled targets are given.

    The options are the engine's, without defaults.
    """

    def __init__(self, architecture: Architecture, theta: Tensor, **options: Any) -> None:
        self.architecture, self.theta, self.options = architecture, theta, options
        self.damping: float = options["lambda_initial"]
        self.gamma: float = options["gamma_initial"]
        self.iteration = 0
        self.stats: Statistics | None = None
        self.inverse: Tensor | None = None
        self.update: Tensor | None = None

    def step(self, inputs: Tensor, targets: Tensor, sampled: Tensor) -> dict[str, float | None]:
        """One iteration; the first inputs are S_1, with their sampled targets, the last S_2."""
        options, l2 = self.options, self.options["l2"]
        self.iteration += 1
        new = statistics(self.architecture, self.theta, inputs[: len(sampled)], sampled)
        epsilon = min(1 - 1 / self.iteration, 0.95)
        self.stats = new if self.stats is None else mixed(self.stats, new, epsilon)

        slope = gradient(self.architecture, self.theta, inputs, targets, l2)
        subsample = inputs[len(inputs) - int(options["tau2"] * len(inputs)) :]
        curvature = fisher(self.architecture, self.theta, subsample)
        curvature += (self.damping + l2) * torch.eye(len(slope), dtype=slope.dtype)
        candidates = [self.candidate(gamma, slope, curvature) for gamma in self.candidate_gammas()]
        change, self.gamma, self.inverse, coefficients, delta = min(candidates, key=lambda c: c[0])

        before = objective(self.architecture, self.theta, inputs, targets, l2).item()
        after = objective(self.architecture, self.theta + delta, inputs, targets, l2).item()
        rho = (after - before) / change if self.iteration % options["t1"] == 0 else None
        if rho is not None and rho > 3 / 4:
            self.damping *= options["omega1"]
        if rho is not None and rho < 1 / 4:
            self.damping /= options["omega1"]
        self.theta, self.update = self.theta + delta, delta
        return {
            "objective": before,
            "alpha": coefficients[0],
            "mu": coefficients[1] if len(coefficients) > 1 else None,
            "rho": rho,
            "damping": self.damping,
            "gamma": self.gamma,
            "model_change": change,
        }

    def candidate_gammas(self) -> list[float]:
        """Section 6.6, with the bounds of the authors' companion code."""
        options, gamma = self.options, self.gamma
        if self.iteration % options["t2"] != 0:
            return [gamma]
        smaller = max(options["omega2"] * gamma, options["gamma_min"])
        larger = min(gamma / options["omega2"], options["gamma_max"])
        return [gamma, smaller, larger]

    def candidate(
        self, gamma: float, slope: Tensor, curvature: Tensor
    ) -> tuple[float, float, Tensor, list[float], Tensor]:
        """M(delta) - M(0), gamma, the inverse, (alpha, mu) and delta for one gamma."""
        inverse, structure = self.inverse, self.options["inverse"]
        exact_first = self.options["tikhonov"] == "exact_first"
        first = 6 if exact_first else 3
        if exact_first and self.iteration <= 2:
            inverse = torch.linalg.inv(exactly_damped(self.stats, gamma))
        elif self.iteration <= first or self.iteration % self.options["t3"] == 0:
            inverse = torch.linalg.inv(approximate_fisher(structure, self.stats, gamma))
        directions = [-inverse @ slope]
        if self.options["momentum"] and self.update is not None:
            directions.append(self.update)
        coefficients = best_coefficients(curvature, slope, directions)
        delta = torch.stack(directions, dim=1) @ coefficients
        change = model_change(curvature, slope, delta).item()
        return change, gamma, inverse, coefficients.tolist(), delta


def nesterov_trajectory(
    slope: Callable[[Tensor], Tensor],
    theta: Tensor,
    learning_rate: float,
    momenta: Iterable[float],
) -> list[Tensor]:
    """v <- mu v - epsilon grad h(theta + mu v); theta <- theta + v (Sutskever et al. 2013)."""
    velocity, trajectory = torch.zeros_like(theta), []
    for mu in momenta:
        velocity = mu * velocity - learning_rate * slope(theta + mu * velocity)
        theta = theta + velocity
        trajectory.append(theta)
    return trajectory
