"""Train a network of your own with K-FAC, and one with Adam beside it, on scikit-learn's digits.

    python examples/own_training_loop.py [SEED]

It takes seconds, downloads nothing, and needs only kfac-run, which installs scikit-learn.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

from kfac_cli import KFACOptimizer

BATCH_SIZE = 256
EPOCHS = 8


def main(seed: int = 0) -> None:
    """Train both networks on the same mini-batches; print their test errors after each epoch."""
    train, test = data()
    network, other = mlp(seed), mlp(seed)
    # tau1 and tau2: the fractions of a mini-batch for curvature and step size; all of a small one.
    kfac = KFACOptimizer(network, output="categorical", tau1=1.0, tau2=1.0)
    # The best learning rate for Adam of six from 0.001 to 0.05, by the last test error.
    adam = torch.optim.Adam(other.parameters(), lr=0.03)

    print("test error in %\nepoch   K-FAC    Adam")
    # K-FAC wants its mini-batches in random order: shuffle=True.
    shuffled = torch.Generator().manual_seed(seed)
    for epoch in range(1, EPOCHS + 1):
        for inputs, labels in DataLoader(train, BATCH_SIZE, shuffle=True, generator=shuffled):
            kfac.step(inputs, labels)

            adam.zero_grad()
            nn.functional.cross_entropy(other(inputs), labels).backward()
            adam.step()
        print(f"{epoch:5}{error(network, test):8.1f}{error(other, test):8.1f}")


def data() -> list[Subset[tuple[torch.Tensor, ...]]]:
    """1,297 images (1, 8, 8) in [0, 1] with labels 0 to 9 to train on, and 500 for the test."""
    digits = load_digits()
    images = torch.as_tensor(digits.images / 16, dtype=torch.float32)[:, None]
    cases = TensorDataset(images, torch.as_tensor(digits.target))
    return random_split(cases, [1297, 500], torch.Generator().manual_seed(0))


def mlp(seed: int) -> nn.Sequential:
    """A network with the initial weights of a seed."""
    torch.manual_seed(seed)
    hidden = nn.Linear(64, 100), nn.Tanh(), nn.Linear(100, 50), nn.Tanh()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(50, 10))


@torch.no_grad()
def error(network: nn.Module, cases: Subset[tuple[torch.Tensor, ...]]) -> float:
    """The percentage of cases that the network puts into a wrong class."""
    [(inputs, labels)] = DataLoader(cases, len(cases))
    return 100 * float((network(inputs).argmax(1) != labels).double().mean())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
