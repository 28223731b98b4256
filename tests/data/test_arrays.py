"""The user's arrays: what is accepted, and the message for each error."""

import io
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kfac_cli.data.arrays import load_arrays

WIDTH, ANSWERS = 6, 2


def cases(count, width, seed=0):
    return np.random.default_rng(seed).random((count, width), dtype=np.float32)


@pytest.fixture
def supervised():
    return {
        "train_inputs": cases(10, WIDTH, 1),
        "test_inputs": cases(4, WIDTH, 2),
        "train_targets": cases(10, ANSWERS, 3),
        "test_targets": cases(4, ANSWERS, 4),
    }


@pytest.fixture
def unsupervised(supervised):
    return {name: array for name, array in supervised.items() if name.endswith("inputs")}


@pytest.fixture
def as_files(tmp_path):
    """Saves arrays as a .npy file each and returns the settings that name them."""

    def save(arrays, layer_sizes, output="gaussian", image_shape=None):
        paths = dict.fromkeys(("train_inputs", "train_targets", "test_inputs", "test_targets"))
        for name, array in arrays.items():
            paths[name] = str(tmp_path / f"{name}.npy")
            np.save(paths[name], array)
        return SimpleNamespace(
            file=None, layer_sizes=layer_sizes, output=output, image_shape=image_shape, **paths
        )

    return save


@pytest.fixture
def as_archive(tmp_path):
    """Saves arrays as one .npz file and returns the settings that name it."""

    def save(arrays, layer_sizes, output="gaussian"):
        file = str(tmp_path / "arrays.npz")
        np.savez(file, **arrays)
        return SimpleNamespace(file=file, layer_sizes=layer_sizes, output=output, image_shape=None)

    return save


@pytest.fixture(params=["files", "archive"])
def saved(request, as_files, as_archive):
    return as_files if request.param == "files" else as_archive


SUPERVISED, UNSUPERVISED = (WIDTH, 3, ANSWERS), (WIDTH, 3, WIDTH)


def test_inputs_with_targets(saved, supervised):
    dataset = load_arrays(saved(supervised, SUPERVISED))
    for name, array in supervised.items():
        tensor = getattr(dataset, name)
        assert tensor.dtype == torch.float32
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_inputs_alone_are_an_autoencoder_problem(saved, unsupervised):
    dataset = load_arrays(saved(unsupervised, UNSUPERVISED, "bernoulli"))
    assert dataset.train_targets is dataset.train_inputs
    assert dataset.test_targets is dataset.test_inputs


@pytest.mark.parametrize("supervised_problem", [True, False])
def test_without_a_test_set_the_training_cases_are_tested(
    saved, supervised, supervised_problem, caplog
):
    kept = ("train_inputs", "train_targets") if supervised_problem else ("train_inputs",)
    sizes = SUPERVISED if supervised_problem else UNSUPERVISED
    dataset = load_arrays(saved({name: supervised[name] for name in kept}, sizes))
    assert dataset.test_inputs is dataset.train_inputs
    assert dataset.test_targets is dataset.train_targets
    [line] = caplog.messages
    assert line.endswith("no test set; test errors will be those of the training cases")


@pytest.mark.parametrize("output", ["gaussian", "bernoulli"])
def test_with_one_output_targets_may_be_one_dimensional(saved, supervised, output):
    for part in ("train_targets", "test_targets"):
        supervised[part] = supervised[part][:, 0]
    dataset = load_arrays(saved(supervised, (WIDTH, 3, 1), output))
    assert dataset.train_targets.shape == (10, 1)
    np.testing.assert_array_equal(dataset.test_targets[:, 0].numpy(), supervised["test_targets"])


def test_one_dimensional_targets_for_several_outputs_are_refused(saved, supervised, refusal):
    supervised["train_targets"] = supervised["train_targets"][:, 0]
    message = refusal(load_arrays, saved(supervised, SUPERVISED))
    assert "has shape (10,); expected (cases, 2)" in message


def test_a_picture_keeps_its_shape(as_files, unsupervised):
    assert load_arrays(as_files(unsupervised, UNSUPERVISED)).image_shape is None
    config = as_files(unsupervised, UNSUPERVISED, image_shape=(2, 3))
    assert load_arrays(config).image_shape == (2, 3)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float64", ">f4"])
def test_real_numbers_of_any_kind(saved, unsupervised, dtype):
    arrays = {name: np.rint(array).astype(dtype) for name, array in unsupervised.items()}
    dataset = load_arrays(saved(arrays, UNSUPERVISED))
    expected = arrays["train_inputs"].astype(np.float32)
    np.testing.assert_array_equal(dataset.train_inputs.numpy(), expected)


def test_arrays_in_column_order(saved, unsupervised):
    arrays = {name: np.asfortranarray(array) for name, array in unsupervised.items()}
    dataset = load_arrays(saved(arrays, UNSUPERVISED))
    np.testing.assert_array_equal(dataset.train_inputs.numpy(), unsupervised["train_inputs"])


def test_other_arrays_in_the_archive_do_not_matter(as_archive, unsupervised):
    load_arrays(as_archive({**unsupervised, "notes": np.array(["x"])}, UNSUPERVISED))


# Errors in an array


@pytest.mark.parametrize(
    ("replacement", "reason"),
    [
        (np.zeros((4, 7)), "has shape (4, 7); expected (cases, 6)"),
        (np.zeros(6), "has shape (6,); expected (cases, 6)"),
        (np.zeros((4, 2, 3)), "has shape (4, 2, 3); expected (cases, 6)"),
        (np.zeros((0, 6)), "has shape (0, 6)"),
        (np.zeros(()), "has shape ()"),
        (np.zeros((4, 6), complex), "has dtype complex128; expected real numbers"),
        (np.full((4, 6), "a"), "has dtype <U1"),
        (np.zeros((4, 6), "datetime64[s]"), "has dtype datetime64[s]"),
    ],
)
def test_a_wrong_shape_or_dtype(saved, unsupervised, refusal, replacement, reason):
    config = saved({**unsupervised, "test_inputs": replacement}, UNSUPERVISED)
    message = refusal(load_arrays, config)
    assert reason in message
    assert "test_inputs" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("name", ["train_inputs", "train_targets", "test_inputs", "test_targets"])
def test_a_value_that_is_not_finite(saved, supervised, refusal, name, value):
    supervised[name] = supervised[name].astype(np.float64)
    supervised[name][3, 1] = value
    message = refusal(load_arrays, saved(supervised, SUPERVISED))
    assert f"{value} in row 3, column 1" in message
    assert "finite" in message
    assert name in message


@pytest.mark.parametrize("value", [-0.25, 1.5])
@pytest.mark.parametrize("name", ["train_targets", "test_targets"])
def test_bernoulli_targets_are_probabilities(saved, supervised, refusal, name, value):
    supervised[name][2, 0] = value
    message = refusal(load_arrays, saved(supervised, SUPERVISED, "bernoulli"))
    assert f"{value} in row 2, column 0" in message
    assert "[0, 1]" in message
    assert name in message
    load_arrays(saved(supervised, SUPERVISED, "gaussian"))


def test_bernoulli_autoencoders_have_their_inputs_checked(saved, unsupervised, refusal):
    unsupervised["test_inputs"][0, 5] = 2
    message = refusal(load_arrays, saved(unsupervised, UNSUPERVISED, "bernoulli"))
    assert "2.0 in row 0, column 5" in message


def test_bernoulli_inputs_may_be_anything_if_there_are_targets(saved, supervised):
    supervised["train_inputs"][0, 0] = 17
    load_arrays(saved(supervised, SUPERVISED, "bernoulli"))


def test_a_target_for_every_input(saved, supervised, refusal):
    supervised["test_targets"] = supervised["test_targets"][:3]
    message = refusal(load_arrays, saved(supervised, SUPERVISED))
    assert "has 3 cases; expected 4, as in" in message


def test_an_autoencoder_is_as_wide_at_its_end_as_at_its_beginning(saved, unsupervised, refusal):
    message = refusal(load_arrays, saved(unsupervised, (WIDTH, 3, 5)))
    assert message.startswith("dataset.layer_sizes: begins with 6 and ends with 5")


# Errors in a file


@pytest.mark.parametrize(
    "missing", ["train_inputs", "test_inputs", "train_targets", "test_targets"]
)
def test_an_archive_without_one_of_the_arrays(as_archive, supervised, refusal, missing):
    del supervised[missing]
    config = as_archive(supervised, SUPERVISED)
    message = refusal(load_arrays, config)
    assert message.startswith(f"{config.file}: holds ")
    assert "must have train_inputs and, except to reproduce them, train_targets" in message


def test_an_archive_of_something_else(as_archive, refusal):
    config = as_archive({"x": np.zeros(3)}, SUPERVISED)
    message = refusal(load_arrays, config)
    assert "holds x; must have train_inputs and" in message


@pytest.mark.parametrize("name", ["train_inputs", "test_inputs", "train_targets"])
def test_other_contents_in_an_archive_are_no_array(as_archive, supervised, refusal, name):
    del supervised[name]
    config = as_archive(supervised, SUPERVISED)
    with zipfile.ZipFile(config.file, "a") as archive:
        archive.writestr(f"{name}.npy", b"contents")
    message = refusal(load_arrays, config)
    assert message.startswith(f"{config.file}: cannot be read ({name} in it is no array); ")


def test_a_missing_file(as_files, as_archive, unsupervised, tmp_path, refusal):
    config = as_files(unsupervised, UNSUPERVISED)
    (tmp_path / "test_inputs.npy").unlink()
    message = refusal(load_arrays, config)
    assert message.startswith(f"{config.test_inputs}: no such file")
    assert "dataset.test_inputs" in message
    config = as_archive(unsupervised, UNSUPERVISED)
    (tmp_path / "arrays.npz").unlink()
    assert "dataset.file" in refusal(load_arrays, config)


def test_a_truncated_file(saved, unsupervised, tmp_path, refusal):
    config = saved(unsupervised, UNSUPERVISED)
    file = tmp_path / "arrays.npz" if config.file else tmp_path / "test_inputs.npy"
    content = file.read_bytes()
    for length in (0, 5, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert refusal(load_arrays, config).startswith(f"{file}: cannot be read")


def test_an_altered_archive(as_archive, unsupervised, refusal):
    config = as_archive(unsupervised, UNSUPERVISED)
    with open(config.file, "r+b") as stream:
        content = stream.read()
        value = content.index(unsupervised["test_inputs"].tobytes())
        stream.seek(value)
        stream.write(bytes([content[value] ^ 1]))
    assert refusal(load_arrays, config).startswith(f"{config.file}: cannot be read")


FOREIGN = {
    "a table in text, such as CSV": b"x1,x2,y\n1.5,2,3\n",
    "a text file": b"some notes\n",
    "an HTML page": b"<!DOCTYPE html>\n<html><body>404: not found</body></html>",
    "a JSON file": b'{"x": [1, 2]}',
    "a file compressed with gzip": b"\x1f\x8b\x08\0" + bytes(20),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "a MATLAB file": b"MATLAB 5.0 MAT-file, Platform: GLNXA64",
    "a PNG image": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "a JPEG image": b"\xff\xd8\xff\xe0" + bytes(20),
    "a pickle": pickle.dumps({"x": 1}),
    "a Parquet file": b"PAR1" + bytes(20),
    "a safetensors file": b"\x40\0\0\0\0\0\0\0" + b'{"x":{"dtype":"F32"}}',
    "an IDX file": b"\0\0\x08\x01\0\0\0\x02ab",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "an empty file": b"",
    "of an unknown format": b"\x01\x02\x03\x04\x05",
}


def zipped(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"contents")
    return content.getvalue()


FOREIGN |= {
    "a PyTorch file": zipped("model/data.pkl", "model/version"),
    "an Office document": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a zip archive": zipped("photograph.jpg"),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("setting", ["file", "train_inputs"])
def test_a_file_of_another_format_is_called_by_its_name(
    as_files, as_archive, unsupervised, tmp_path, refusal, what, setting
):
    save = as_archive if setting == "file" else as_files
    config = save(unsupervised, UNSUPERVISED)
    file = tmp_path / "mine"
    file.write_bytes(FOREIGN[what])
    setattr(config, setting, str(file))
    message = refusal(load_arrays, config)
    assert message.startswith(f"{file}: cannot be read (it is {what}")
    assert f"expected a whole file for dataset.{setting}, written by numpy.save" in message
    assert "allow_pickle" not in message


def test_no_advice_is_given_to_load_pickled_objects(saved, unsupervised, refusal):
    unsupervised["test_inputs"] = np.array([[{}] * WIDTH], dtype=object)
    message = refusal(load_arrays, saved(unsupervised, UNSUPERVISED))
    assert "it holds Python objects instead of numbers" in message
    assert "allow_pickle" not in message


def test_a_header_that_numpy_finds_too_long_is_no_pickle(tmp_path, as_files, unsupervised, refusal):
    config = as_files(unsupervised, UNSUPERVISED)
    np.save(
        config.train_inputs, np.zeros(1, [(f"a column of a table, {i}", "f4") for i in range(999)])
    )
    message = refusal(load_arrays, config)
    assert "its header is too long" in message
    assert "max_header_size" not in message


def test_the_names_in_an_archive_are_told(as_archive, refusal):
    names = ("x_train", "y_train", "x_test", "y_test")
    message = refusal(load_arrays, as_archive(dict.fromkeys(names, np.zeros(3)), SUPERVISED))
    assert "holds x_train, y_train, x_test, y_test; must have train_inputs" in message
    many = as_archive({f"a{i}": np.zeros(1) for i in range(1000)}, SUPERVISED)
    assert "a7 and 992 more; must have" in refusal(load_arrays, many)


def test_pickled_objects_are_not_opened(saved, unsupervised, refusal):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was opened",)

    unsupervised["test_inputs"] = np.array([Trap()], dtype=object)
    assert "without pickled objects" in refusal(load_arrays, saved(unsupervised, UNSUPERVISED))


def test_a_file_of_the_other_kind(as_files, as_archive, unsupervised, refusal):
    files, archive = (save(unsupervised, UNSUPERVISED) for save in (as_files, as_archive))
    archive.file, files.train_inputs = files.train_inputs, archive.file
    assert "expected an .npz file for dataset.file" in refusal(load_arrays, archive)
    assert "expected a .npy file for dataset.train_inputs" in refusal(load_arrays, files)


def test_a_folder_is_not_a_file(as_files, unsupervised, tmp_path, refusal):
    config = as_files(unsupervised, UNSUPERVISED)
    config.train_inputs = str(tmp_path)
    assert refusal(load_arrays, config).startswith(f"{tmp_path}: cannot be read")
