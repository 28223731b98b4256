"""The transformed network of section 10, as a network that the engine can train."""

from collections.abc import Sequence

import torch
from engine import oracles
from torch import Tensor
from torch.autograd.functional import jvp

from kfac_cli.engine import Network, Parameters
from kfac_cli.engine.model.network import Activations

from .helpers import random_invertible


class TransformedNetwork(Network):
    """s_i' = W_i' abar_{i-1}' and abar_i' = Omega_i phibar_i(Phi_i s_i').

    abar_0' = Omega_0 abar_0; `omegas` are Omega_0 ... Omega_{l-1} (Omega_l = I), `phis` are
    Phi_1 ... Phi_l. Its output is a_l' = Phi_l s_l', the natural parameters. All derivatives are
    by autograd.
    """

    def __init__(
        self, architecture: oracles.Architecture, omegas: list[Tensor], phis: list[Tensor]
    ) -> None:
        super().__init__(*architecture)
        self.omegas = omegas
        self.phis = phis

    def zeta(self, transformed: Parameters) -> Parameters:
        """theta = zeta(theta'): W_i = Phi_i W_i' Omega_{i-1}."""
        return [
            phi @ w @ omega
            for phi, w, omega in zip(self.phis, transformed, self.omegas, strict=True)
        ]

    def zeta_inverse(self, parameters: Parameters) -> Parameters:
        """theta' with zeta(theta') = theta."""
        return [
            torch.linalg.inv(phi) @ w @ torch.linalg.inv(omega)
            for phi, w, omega in zip(self.phis, parameters, self.omegas, strict=True)
        ]

    def zeta_jacobian(self) -> Tensor:
        """J_zeta = diag(Omega_0^T (x) Phi_1, ..., Omega_{l-1}^T (x) Phi_l)."""
        pairs = zip(self.omegas, self.phis, strict=True)
        return torch.block_diag(*(torch.kron(o.T.contiguous(), p) for o, p in pairs))

    def forward(self, parameters: Parameters, inputs: Tensor) -> Activations:
        units = _with_one(inputs) @ self.omegas[0].T
        homogeneous, _, logits = self._above(parameters, units)
        return Activations(homogeneous, logits)

    def backward(
        self, parameters: Parameters, activations: Activations, output_gradient: Tensor
    ) -> list[Tensor]:
        _, sums, logits = self._above(
            [w.detach().requires_grad_() for w in parameters], activations.homogeneous[0]
        )
        return list(torch.autograd.grad(logits, sums, output_gradient))

    def jacobian_product(
        self, parameters: Parameters, activations: Activations, directions: Sequence[Parameters]
    ) -> Tensor:
        def logits(*weights: Tensor) -> Tensor:
            return self._above(list(weights), activations.homogeneous[0])[2]

        return torch.stack([jvp(logits, tuple(parameters), tuple(v))[1] for v in directions])

    def _above(
        self, parameters: Parameters, units: Tensor
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """abar_0' ... abar_{l-1}', s_1' ... s_l' and a_l' from abar_0' (m, d_0 + 1)."""
        homogeneous, sums = [], []
        names = (*self.activations, "linear")
        omegas = (*self.omegas[1:], None)
        for name, weights, phi, omega in zip(names, parameters, self.phis, omegas, strict=True):
            homogeneous.append(units)
            sums.append(units @ weights.T)
            units = oracles.FUNCTIONS[name](sums[-1] @ phi.T)
            if omega is not None:
                units = _with_one(units) @ omega.T
        return homogeneous, sums, units


def randomly_transformed(architecture: oracles.Architecture, seed: int) -> TransformedNetwork:
    """Random invertible Omega_i and Phi_i."""
    generator = torch.Generator().manual_seed(seed)
    sizes = architecture.layer_sizes
    omegas = [random_invertible(d + 1, generator) for d in sizes[:-1]]
    phis = [random_invertible(d, generator) for d in sizes[1:]]
    return TransformedNetwork(architecture, omegas, phis)


def _with_one(units: Tensor) -> Tensor:
    return torch.cat([units, units.new_ones(len(units), 1)], dim=1)
