"""FACES: the construction, and the published properties of the result."""

import shutil
from types import SimpleNamespace

import joblib
import numpy as np
import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.data import faces
from kfac_cli.data.faces import build_faces, crop_photograph, load_faces, read_photographs

STEP = 2.25


def config(**changes):
    settings = {
        "crops_per_photograph": 2,
        "subsampling": STEP,
        "seed": 0,
        "train_cases": None,
        "test_cases": None,
    }
    return SimpleNamespace(**settings | changes)


def noise(crops=3, seed=0):
    photographs = np.random.default_rng(1).random((400, 64, 64), dtype=np.float32)
    return build_faces(photographs, crops, STEP, np.random.default_rng(seed))


# The construction


def test_a_crop_is_turned_and_scaled_about_the_middle():
    """On photographs whose values are their own coordinates, crops show where they were taken."""
    rows, columns = np.indices((64, 64)).astype(np.float32)
    seen_rows, seen_columns = (
        crop_photograph(photograph, 2000, STEP, np.random.default_rng(0)).reshape(-1, 25, 25)
        for photograph in (rows, columns)
    )
    np.testing.assert_allclose(seen_rows[:, 12, 12], 31.5, atol=1e-4)
    np.testing.assert_allclose(seen_columns[:, 12, 12], 31.5, atol=1e-4)
    # One pixel to the right in the crop is this step (across, down) in the photograph ...
    right = np.stack([seen_columns[:, 12, 13] - 31.5, seen_rows[:, 12, 13] - 31.5])
    scale = STEP / np.hypot(*right)
    angle = np.degrees(np.arctan2(right[1], right[0]))
    assert scale.min() == pytest.approx(1.4, abs=0.01)
    assert scale.max() == pytest.approx(1.8, abs=0.01)
    assert angle.min() == pytest.approx(-90, abs=0.5)
    assert angle.max() == pytest.approx(90, abs=0.5)
    # ... and one pixel down is the same step turned by a right angle, so nothing is mirrored.
    down = np.stack([seen_columns[:, 13, 12] - 31.5, seen_rows[:, 13, 12] - 31.5])
    np.testing.assert_allclose(down, [-right[1], right[0]], atol=1e-4)
    # The far corner is reached in a straight line, inside the photograph.
    corner = np.stack([seen_columns[:, 24, 24] - 31.5, seen_rows[:, 24, 24] - 31.5])
    np.testing.assert_allclose(corner, 12 * (right + down), atol=1e-3)
    assert np.abs(corner).max() < 31.5


def test_no_person_is_in_two_groups_and_the_first_cases_show_everyone():
    """Each photograph has its index as brightness, which identifies an image's origin."""
    photographs = np.repeat(np.arange(400, dtype=np.float32), 64 * 64).reshape(400, 64, 64)
    images = build_faces(photographs, 3, STEP, np.random.default_rng(0))
    spacing = 1 / np.std(np.arange(400))
    origin = {
        part: np.rint(image[:, 0] / spacing + 199.5).astype(int) for part, image in images.items()
    }
    np.testing.assert_array_equal(origin["train"], np.tile(np.arange(250), 3))
    np.testing.assert_array_equal(origin["validation"], np.tile(np.arange(250, 300), 3))
    np.testing.assert_array_equal(origin["test"], np.tile(np.arange(300, 400), 3))


def test_pixels_have_mean_zero_and_average_variance_one_over_the_entire_dataset():
    images = noise()
    together = np.concatenate(list(images.values())).astype(np.float64)
    assert together.shape == (3 * 400, 625)
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=1e-6)
    assert together.var(axis=0).mean() == pytest.approx(1, abs=1e-6)
    assert np.abs(images["train"].mean(axis=0, dtype=np.float64)).max() > 1e-3


def test_the_generator_determines_the_images():
    first, again, other = noise(seed=0), noise(seed=0), noise(seed=1)
    for part in first:
        assert first[part].dtype == np.float32
        np.testing.assert_array_equal(first[part], again[part])
        assert not np.array_equal(first[part], other[part])


# The photographs


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of 400 photographs that counts as the canonical one."""
    pixels = np.random.default_rng(0).integers(0, 243, (400, 4096), dtype=np.uint8)
    pixels[0, :2] = 0, 242
    path = tmp_path / "olivetti" / "olivetti_py3.pkz"
    path.parent.mkdir()
    joblib.dump(pixels, path, compress=6)
    upright = pixels.reshape(400, 64, 64).transpose(0, 2, 1)
    monkeypatch.setattr(faces, "SHA256", faces.hashlib.sha256(upright.tobytes()).hexdigest())
    return path


def test_the_dataset_is_an_autoencoder_problem(file, tmp_path):
    dataset = load_faces(config(), tmp_path)
    assert dataset.name == "faces"
    assert dataset.train_inputs.shape == (500, 625)
    assert dataset.test_inputs.shape == (200, 625)
    assert dataset.train_targets is dataset.train_inputs
    assert dataset.test_targets is dataset.test_inputs
    assert dataset.image_shape == (25, 25)


def test_the_cache_is_used_and_knows_every_parameter(file, tmp_path):
    variants = [config(), config(crops_per_photograph=3), config(subsampling=2.0), config(seed=1)]
    made = [load_faces(variant, tmp_path) for variant in variants]
    assert len(list((tmp_path / "faces").iterdir())) == len(variants)
    file.unlink()
    for variant, dataset in zip(variants, made, strict=True):
        assert load_faces(variant, tmp_path).test_inputs.equal(dataset.test_inputs)


def test_fewer_cases_are_the_first(file, tmp_path):
    full = load_faces(config(), tmp_path)
    few = load_faces(config(train_cases=7, test_cases=5), tmp_path)
    assert few.train_inputs.equal(full.train_inputs[:7])
    assert few.test_inputs.equal(full.test_inputs[:5])


@pytest.mark.parametrize(("part", "available"), [("train", 500), ("test", 200)])
def test_more_cases_than_there_are_is_refused(tmp_path, refusal, part, available):
    message = refusal(load_faces, config(**{f"{part}_cases": available + 1}), tmp_path)
    assert message.startswith(f"dataset.{part}_cases={available + 1}: must be at most {available}")


@pytest.mark.parametrize("place", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_named(file, tmp_path, refusal, place):
    content = file.read_bytes()
    file.write_bytes(content[: int(place * len(content))])
    message = refusal(load_faces, config(), tmp_path)
    assert message.startswith(f"{file}: ")
    assert "expected" in message
    assert "delete the file" in message


@pytest.mark.parametrize("place", [0.0, 0.001, 0.3, 0.6, 0.9])
def test_an_altered_file_is_named(file, tmp_path, refusal, place):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 0x5A
    file.write_bytes(content)
    assert refusal(load_faces, config(), tmp_path).startswith(f"{file}: ")


def test_other_photographs_are_refused(file, tmp_path, refusal):
    pixels = joblib.load(file)
    pixels[7, 7] ^= 1
    joblib.dump(pixels, file, compress=6)
    message = refusal(load_faces, config(), tmp_path)
    assert f"expected {faces.SHA256}" in message


def test_a_file_of_another_shape_is_refused(file, tmp_path, refusal):
    joblib.dump(np.arange(12, dtype=np.uint8), file, compress=6)
    assert refusal(load_faces, config(), tmp_path).startswith(f"{file}: cannot be read")


def test_without_photographs_and_network_the_error_says_what_to_do(tmp_path, refusal, offline):
    message = refusal(load_faces, config(), tmp_path)
    assert message.startswith(f"{tmp_path / 'olivetti' / 'olivetti_py3.pkz'}: no such file")
    for advice in ("network", "copy olivetti_py3.pkz", "data_dir"):
        assert advice in message
    assert list((tmp_path / "olivetti").iterdir()) == []


def test_missing_photographs_are_downloaded(file, tmp_path, monkeypatch):
    import sklearn.datasets

    elsewhere = tmp_path / "server.pkz"
    file.rename(elsewhere)
    original = sklearn.datasets.fetch_olivetti_faces

    def fetch(data_home, download_if_missing=True):
        if download_if_missing:
            shutil.copy(elsewhere, data_home / "olivetti_py3.pkz")
        return original(data_home=data_home, download_if_missing=False)

    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", fetch)
    assert load_faces(config(), tmp_path).train_inputs.shape == (500, 625)
    assert list(file.parent.iterdir()) == [file]


# The real photographs


def principal_component_error(train, test, components):
    """Squared error per test image, reconstructed from the training images' components."""
    mean = train.mean(axis=0)
    _, vectors = np.linalg.eigh((train - mean).T @ (train - mean))
    codes = (test - mean) @ vectors[:, -components:]
    return ((test - mean) ** 2).sum(axis=1).mean() - (codes**2).sum(axis=1).mean()


def test_principal_components_err_as_published(real_data):
    """Published: 135. Few crops per photograph suffice."""
    photographs = read_photographs(real_data / "olivetti")
    images = build_faces(photographs, 40, STEP, np.random.default_rng(0))
    images = {part: image.astype(np.float64) for part, image in images.items()}
    train = np.concatenate([images["train"], images["validation"]])
    assert principal_component_error(train, images["test"], 30) == pytest.approx(135, abs=2)


def test_the_real_dataset_has_the_published_size(real_data, tmp_path):
    """As many images as the photographs have crops, of which there are 414 in conf/."""
    shutil.copytree(real_data / "olivetti", tmp_path / "olivetti")
    dataset = load_faces(config(crops_per_photograph=4), tmp_path)
    assert dataset.train_inputs.shape == (103_500 // 414 * 4, 625)
    assert dataset.test_inputs.shape == (41_400 // 414 * 4, 625)
    assert load_config(["dataset=faces"]).dataset.crops_per_photograph == 414
