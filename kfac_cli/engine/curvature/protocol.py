"""What an approximation of the Fisher looks like to the step; `registry.py` lists them."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kfac_cli.engine.curvature.eigen_statistics import Bases
from kfac_cli.engine.curvature.factors import CaseFactors, KroneckerFactors
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.parameters import Parameters
from kfac_cli.engine.processes import ALONE, Processes
from kfac_cli.engine.products import BLAS, Products
from kfac_cli.engine.state_rules import Rule


@dataclass(frozen=True)
class Needs:
    """What a curvature needs from the passes over a mini-batch.

    `statistics`: Ā and G, for which targets are sampled and a second backward pass is made;
    `neighbours`: their blocks of neighbouring layers too; `case_factors`: the factors of the
    gradient's cases (section 8); `bases`: the scalings in these bases, as `ScaledFactors`.
    """

    statistics: bool = True
    neighbours: bool = False
    case_factors: bool = False
    bases: Bases | None = None


class Inverse(Protocol):
    """F₀⁻¹, an approximate inverse Fisher, damped with some γ; never changed.

    Matrices are multiplied by `products`, which are no part of it: it can be saved without them.
    """

    @abstractmethod
    def multiply(self, vectors: Parameters, products: Products = BLAS) -> Parameters:
        """F₀⁻¹v as new tensors, for `vectors` shaped like the parameters, which stay unchanged."""

    def multiply_gradient(
        self, gradient: Parameters, cases: CaseFactors | None, products: Products = BLAS
    ) -> Parameters:
        """F₀⁻¹∇h, where the gradient is the mean of g āᵀ over `cases`, if these are given."""
        return self.multiply(gradient, products)

    def at(self, parameters: Parameters, products: Products = BLAS) -> "Inverse":
        """This inverse, where a refresh at θ = `parameters` begins to use it."""
        return self

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that `Curvature.restore` needs: tensors, numbers and containers."""


class Curvature(Protocol):
    """An approximate Fisher over the iterations, and its inverses.

    Made from the options and, to share the counts of another one, its `fallbacks`.
    """

    needs: Needs
    fallbacks: Fallbacks

    @abstractmethod
    def update(self, statistics: KroneckerFactors | None, iteration: int) -> None:
        """Include the statistics of iteration k = 1, 2, …; None if it needs none.

        Replaces the tensors of its state and changes none in place; `statistics` becomes its own.
        """

    def inverses(self, gammas: Sequence[float], processes: Processes = ALONE) -> list[Inverse]:
        """The inverse for each γ, made by these processes together."""
        return self.begun(gammas, processes)(self.fallbacks)

    @abstractmethod
    def begun(
        self, gammas: Sequence[float], processes: Processes
    ) -> Callable[[Fallbacks], list[Inverse]]:
        """Make this process's share of the inverse for each γ, in whichever thread.

        What does not depend on γ can be shared. The function that is returned exchanges the shares,
        which all processes do at the same point, and records fallbacks.
        """

    def latest(self, inverse: Inverse, gamma: float) -> Inverse:
        """The inverse to use between refreshes: that of the last one, here as it is.

        A curvature may update it, also to the present γ, by what takes no decomposition.
        """
        return inverse

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Inverse:
        """The inverse whose `state_dict` this is; raises ValueError if it is of another class."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to resume exactly."""

    @abstractmethod
    def state_rules(self, parameters: Parameters) -> Rule:
        """What `state_dict` may return for `parameters` of these shapes."""

    @abstractmethod
    def inverse_rules(self, parameters: Parameters) -> Rule:
        """What the `state_dict` of an inverse may return for `parameters` of these shapes."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
