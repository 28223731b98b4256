"""The training problems: MNIST with and without labels, CURVES, FACES and the user's own arrays."""

from kfac_cli.data.dataset import Dataset
from kfac_cli.data.folder import resolve_data_dir
from kfac_cli.data.loading import load_dataset

__all__ = ["Dataset", "load_dataset", "resolve_data_dir"]
