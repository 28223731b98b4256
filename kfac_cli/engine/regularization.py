"""The ℓ₂ term (η/2)‖θ‖² of the objective, biases included (section 13)."""

import torch

from kfac_cli.engine.network import Parameters


def l2_penalty(parameters: Parameters, l2: float) -> float:
    """(η/2)‖θ‖², accumulated in float64."""
    return 0.5 * l2 * sum(float(p.square().sum(dtype=torch.float64)) for p in parameters)


def add_l2_gradient(gradient: Parameters, parameters: Parameters, l2: float) -> Parameters:
    """The gradient of the loss plus ηθ, in place."""
    return [g.add_(p, alpha=l2) for g, p in zip(gradient, parameters, strict=True)]
