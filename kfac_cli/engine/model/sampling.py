"""Random numbers that belong to cases, not to chunks.

Targets sampled from the model must not depend on how a mini-batch is cut into chunks. The noise
of a batch is therefore made in fixed blocks of cases, each from a generator of its own.
"""

import torch
from torch import Tensor

from kfac_cli.engine.model.distributions import Distribution

BLOCK_CASES = 256


def draw_seeds(generator: torch.Generator, count: int = 1) -> tuple[int, ...]:
    """Numbers from `generator`, from each of which the noise of one mini-batch follows.

    They are below 2³², all that PyTorch's generator for the CPU takes of a seed.
    """
    device = generator.device
    drawn = torch.randint(2**32, (count,), generator=generator, device=device)
    return tuple(drawn.tolist())


def noise_for_cases(
    distribution: Distribution, first: int, last: int, width: int, seed: int, like: Tensor
) -> Tensor:
    """The noise of cases first … last-1 of a mini-batch, one row a case.

    `like` gives device and dtype, `width` is d_ℓ, `seed` comes from `draw_seeds`.
    """
    rows = []
    for block in range(first // BLOCK_CASES, (last - 1) // BLOCK_CASES + 1):
        generator = torch.Generator(like.device).manual_seed((seed + block) % 2**32)
        noise = distribution.noise(BLOCK_CASES, width, generator, like)
        start = block * BLOCK_CASES
        rows.append(noise[max(first - start, 0) : last - start])
    return torch.cat(rows)
