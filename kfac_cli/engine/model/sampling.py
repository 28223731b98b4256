"""Random numbers for cases that do not depend on how a mini-batch is split into chunks.

They are drawn for fixed blocks of cases, each with its own generator.
"""

import torch
from torch import Tensor

from kfac_cli.engine.model.distributions import Distribution

BLOCK_CASES = 256


def draw_seeds(generator: torch.Generator, count: int = 1) -> tuple[int, ...]:
    """Draw seeds from `generator`, each for the noise of one mini-batch.

    They are below 2³², since PyTorch's CPU generator ignores higher bits.
    """
    device = generator.device
    drawn = torch.randint(2**32, (count,), generator=generator, device=device)
    return tuple(drawn.tolist())


def noise_for_cases(
    distribution: Distribution, first: int, last: int, width: int, seed: int, like: Tensor
) -> Tensor:
    """The noise of cases first … last-1 of a mini-batch, one row per case.

    `like` gives device and dtype, `width` is d_ℓ, `seed` comes from `draw_seeds`. There may be no
    case at all.
    """
    rows = []
    for block in range(first // BLOCK_CASES, max(last - 1, first) // BLOCK_CASES + 1):
        generator = torch.Generator(like.device).manual_seed((seed + block) % 2**32)
        noise = distribution.noise(BLOCK_CASES, width, generator, like)
        start = block * BLOCK_CASES
        rows.append(noise[max(first - start, 0) : last - start])
    return torch.cat(rows)
