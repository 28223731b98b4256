"""FACES: crops of the 400 Olivetti photographs, randomly rotated and scaled.

Hinton and Salakhutdinov (2006), supporting online material: 165,600 images of 25×25 pixels, made
"by rotating (-90° to +90°), scaling (1.4 to 1.8), cropping, and subsampling". The positions of the
crops and the subsampling were not published; here every crop is centred, and the subsampling step
was calibrated on the published error of principal component analysis.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from kfac_cli.data.base_options import Report, silent
from kfac_cli.data.cache import Arrays, load_or_build
from kfac_cli.data.dataset import Dataset, leading
from kfac_cli.data.download import ensure_downloaded
from kfac_cli.data.options import FacesOptions
from kfac_cli.errors import UserError
from kfac_cli.files import open_file

VERSION = 1  # increase when the same parameters give other images
SIDE = FacesOptions.SIDE
PHOTOGRAPHS = 400
PHOTOGRAPH_SIDE = 64
MAX_ANGLE = 90.0  # degrees, in both directions
MIN_SCALE, MAX_SCALE = 1.4, 1.8
# Photographs, ten per person: people 1-25, 26-30 and 31-40.
GROUPS = {"train": range(250), "validation": range(250, 300), "test": range(300, 400)}

FILE = "olivetti_py3.pkz"
SHA256 = "a3f75007cc103363b61a63e06bec8ea4846407682ef6e7c9ae1eb9c1bd0e8a00"
MAX_PICKLE_SIZE = 10_000  # bytes without the photographs; the real one has 241
MAX_INTENSITY = 242  # the largest byte in the photographs, by which scikit-learn divides


def load_faces(config: FacesOptions, data_dir: Path, report: Report = silent) -> Dataset:
    """The autoencoder problem FACES: images (N, 625), built once and cached in data_dir/faces.

    People 1-25 are for training and people 31-40 for testing; the other five only contribute to the
    mean and the scale. Raises UserError if the photographs cannot be downloaded or are not the
    canonical ones, or for more cases than available.
    """
    crops = config.crops_per_photograph
    shapes = {}
    for part, wanted in (("train", config.train_cases), ("test", config.test_cases)):
        available = crops * len(GROUPS[part])
        if wanted is not None and wanted > available:
            raise UserError(
                f"dataset.{part}_cases={wanted}: must be at most {available}, which is what "
                f"dataset.crops_per_photograph={crops} makes"
            )
        shapes[part] = (available, SIDE * SIDE)
    name = f"faces-v{VERSION}-crops{crops}-subsampling{float(config.subsampling)}-seed{config.seed}"

    def build() -> Arrays:
        photographs = read_photographs(data_dir / "olivetti")
        generator = np.random.default_rng(config.seed)
        images = build_faces(photographs, crops, config.subsampling, generator, report)
        return {part: images[part] for part in shapes}

    images = load_or_build(data_dir / FacesOptions.FOLDER / f"{name}.npz", name, shapes, build)
    train = leading(images["train"], config.train_cases)
    test = leading(images["test"], config.test_cases)
    return Dataset.autoencoder("faces", train, test, (SIDE, SIDE))


def read_photographs(folder: Path) -> NDArray[np.float32]:
    """The Olivetti photographs (400, 64, 64) in `folder`, downloaded if missing; ten per person.

    Raises UserError if they cannot be downloaded or are not the canonical ones.
    """

    def fetch(scratch: Path) -> Path:
        from sklearn.datasets import fetch_olivetti_faces

        fetch_olivetti_faces(data_home=scratch)
        return scratch

    ensure_downloaded(folder, [FILE], fetch)
    path = folder / FILE
    advice = "delete the file to have it downloaded again, or put the canonical file in its place"
    try:
        with open_file(path) as stream:
            pixels = unpack(stream.read())
    except (OSError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be read ({reason}); expected scikit-learn's file of the Olivetti "
            f"faces; {advice}"
        ) from error
    photographs = pixels.transpose(0, 2, 1)  # their rows are the file's columns
    # The file's own bytes depend on the versions that wrote it; the photographs do not.
    found = hashlib.sha256(photographs.tobytes()).hexdigest()
    if found != SHA256:
        raise UserError(f"{path}: its photographs have sha256 {found}, expected {SHA256}; {advice}")
    return photographs.astype(np.float32) / np.float32(MAX_INTENSITY)


def unpack(packed: bytes) -> NDArray[np.uint8]:
    """The bytes (400, 64, 64) in scikit-learn's file, a pickle compressed by joblib.

    A pickle can execute code, so it is not loaded: joblib stores the array's bytes contiguously
    before the pickle's last opcode, and the caller verifies their checksum. Raises zlib.error or
    ValueError for a file of another form.
    """
    size = PHOTOGRAPHS * PHOTOGRAPH_SIDE**2
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, size + MAX_PICKLE_SIZE)  # limits a decompression bomb
    if not unpacker.eof:
        raise ValueError("it is cut short, or holds more than the photographs")
    if len(content) <= size:
        raise ValueError(f"it holds {len(content)} bytes, fewer than {PHOTOGRAPHS} photographs")
    pixels = np.frombuffer(content, dtype=np.uint8, count=size, offset=len(content) - 1 - size)
    return pixels.reshape(PHOTOGRAPHS, PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE)


def build_faces(
    photographs: NDArray[np.float32],
    crops: int,
    subsampling: float,
    generator: np.random.Generator,
    report: Report = silent,
) -> Arrays:
    """The whole dataset: "train", "validation" and "test" images (crops · photographs, 625).

    Over all three together, every pixel has mean zero and the average variance of a pixel is 1.
    A group has the first crop of all its photographs, then the second of all, and so on, so that
    its first cases show everyone. `report` is called after each photograph.
    """
    images: Arrays = {}
    done, total = 0, sum(len(group) for group in GROUPS.values())
    for part, group in GROUPS.items():
        stacked = np.empty((crops, len(group), SIDE * SIDE), dtype=np.float32)
        for place, index in enumerate(group):
            stacked[:, place] = crop_photograph(photographs[index], crops, subsampling, generator)
            done += 1
            report("building FACES", done, total)
        images[part] = stacked.reshape(-1, SIDE * SIDE)
    standardize(list(images.values()))
    return images


def crop_photograph(
    photograph: NDArray[np.float32], crops: int, subsampling: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Random crops (crops, 625) around the middle of a photograph, interpolated bilinearly.

    Scaling and subsampling are one operation: neighbouring pixels of a crop are subsampling / scale
    pixels of the photograph apart.
    """
    angle = np.radians(generator.uniform(-MAX_ANGLE, MAX_ANGLE, (crops, 1)))
    step = subsampling / generator.uniform(MIN_SCALE, MAX_SCALE, (crops, 1))
    along, across = step * np.cos(angle), step * np.sin(angle)
    down, right = np.indices((SIDE, SIDE)).reshape(2, -1) - (SIDE - 1) / 2
    middle = (PHOTOGRAPH_SIDE - 1) / 2
    rows = middle + along * down - across * right
    columns = middle + across * down + along * right
    sampled: NDArray[np.float32] = map_coordinates(
        photograph, [rows, columns], order=1, mode="nearest", prefilter=False
    )
    return sampled


def standardize(groups: list[NDArray[np.float32]]) -> None:
    """Shift every pixel of the groups (n, d) to mean zero, then scale all to average variance 1.

    Mean and scale are those of all groups together; in place.
    """
    cases = sum(len(group) for group in groups)
    mean = sum(group.sum(axis=0, dtype=np.float64) for group in groups) / cases
    squares = 0.0
    for group in groups:
        group -= mean.astype(np.float32)
        squares += sum(float(np.vdot(case, case)) for case in group)
    scale = np.float32(np.sqrt(mean.size * cases / squares))
    for group in groups:
        group *= scale
