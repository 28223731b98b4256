"""Files from elsewhere are data: nothing in them is executed, nothing leads out of its folder."""

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
import yaml
from soak.experiment import overrides, write_cases

import kfac_cli
from kfac_cli.app import folder_name
from kfac_cli.checkpoint.tensor_file import write_tree
from kfac_cli.data import faces
from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.cache import load_or_build
from kfac_cli.data.faces import read_photographs
from kfac_cli.errors import UserError
from kfac_cli.interchange import read_parameters

SOURCES = sorted(Path(kfac_cli.__file__).parent.rglob("*.py"))


class Trap:
    """Leaves a file when a pickle that holds it is opened."""

    def __init__(self, alarm):
        self.alarm = alarm

    def __reduce__(self):
        return Path.touch, (self.alarm,)


@pytest.fixture
def alarm(tmp_path):
    """Where a sprung trap leaves its file: nothing may have by the end of a test."""
    path = tmp_path / "sprung"
    yield path
    assert not path.exists()


@pytest.fixture
def trap(alarm):
    return Trap(alarm)


def test_the_trap_works(trap, alarm):
    pickle.loads(pickle.dumps(trap))
    assert alarm.exists()
    alarm.unlink()


# The photographs, which scikit-learn keeps in a pickle


@pytest.fixture
def pixels(monkeypatch):
    """Bytes (400, 4096) that count as the canonical photographs."""
    pixels = np.zeros((400, 4096), np.uint8)
    pixels[::7, ::5] = 242
    upright = pixels.reshape(400, 64, 64).transpose(0, 2, 1)
    monkeypatch.setattr(faces, "SHA256", faces.hashlib.sha256(upright.tobytes()).hexdigest())
    return pixels


@pytest.mark.parametrize("place", ["alone", "before", "behind", "in an array"])
@pytest.mark.parametrize("level", [1, 6])
def test_a_pickle_in_the_place_of_the_photographs_is_not_opened(
    tmp_path, pixels, trap, alarm, place, level
):
    file = tmp_path / faces.FILE
    contents = {
        "alone": trap,
        "before": [trap, pixels],
        "behind": [pixels, trap],
        "in an array": np.array([trap], dtype=object),
    }
    joblib.dump(contents[place], file, compress=level)
    with pytest.raises(UserError, match=re.escape(str(file))):
        read_photographs(tmp_path)
    assert not alarm.exists()
    joblib.load(file)  # as scikit-learn would
    assert alarm.exists()
    alarm.unlink()


def test_photographs_behind_a_trap_are_read_without_springing_it(tmp_path, pixels, trap):
    program = pickle.dumps(trap, protocol=4)[:-1]  # without the opcode that ends it
    (tmp_path / faces.FILE).write_bytes(zlib.compress(program + pixels.tobytes() + b"."))
    assert read_photographs(tmp_path).max() == 1


# Arrays and caches


@pytest.mark.parametrize("name", ["train_inputs", "test_inputs", "train_targets", "other"])
def test_a_pickle_in_an_archive_of_arrays_is_not_opened(tmp_path, trap, name):
    arrays = {part: np.zeros((3, 2)) for part in ("train_inputs", "test_inputs")}
    file = tmp_path / "arrays.npz"
    np.savez(file, **(arrays | {name: np.array([[trap, trap]], dtype=object)}))
    config = SimpleNamespace(
        file=str(file), layer_sizes=(2, 2), output="gaussian", image_shape=None
    )
    if name == "other":
        load_arrays(config)  # nobody asks for it
    else:
        with pytest.raises(UserError, match="without pickled objects"):
            load_arrays(config)


@pytest.mark.parametrize("name", ["key", "images"])
def test_a_pickle_in_a_cache_is_not_opened(tmp_path, trap, name):
    file, images = tmp_path / "cache.npz", np.ones((3, 2), np.float32)
    contents = {"key": np.array("key"), "images": images}
    np.savez(file, **(contents | {name: np.array([trap], dtype=object)}))
    found = load_or_build(file, "key", {"images": (3, 2)}, lambda: {"images": images})
    assert np.array_equal(found["images"], images)


# A run's folder


@pytest.fixture
def run(kfac_run, tmp_path, monkeypatch):
    """The folder of a run that ended after 4 iterations, and which could go on."""
    monkeypatch.setattr("kfac_cli.recorder.draw_run", lambda *arguments: None)
    write_cases(tmp_path / "cases.npz")
    words = [*overrides(tmp_path / "cases.npz", iterations=4), "tensorboard=false"]
    assert kfac_run(*words, "hydra.run.dir=run").code == 0
    return tmp_path / "run"


@pytest.fixture
def refusal(kfac_run, run):
    """Going on is refused with one line and leaves the folder as it was; returns the line."""

    def contents():
        files = {path for path in run.rglob("*") if path.is_file()} - {run / "run.log"}
        return {path: path.read_bytes() for path in files}

    def call(*words):
        before = contents()
        answer = kfac_run("resume=run", "iterations=8", *words)
        assert answer.code == 1
        assert "Traceback" not in answer.err
        lines = [line for line in answer.err.splitlines() if line.startswith("kfac-run: ")]
        assert len(lines) == 1, answer.err
        assert contents() == before
        return lines[0].removeprefix("kfac-run: error: ")

    return call


def test_saved_parameters_are_read_without_opening_a_pickle(tmp_path, trap, alarm):
    file = tmp_path / "parameters.pt"
    keys = ("layer_sizes", "activations", "output", "average", "parameters")
    for contents in (trap, {key: trap for key in keys}):
        torch.save(contents, file)
        with pytest.raises(UserError, match=r"is not a parameters\.pt"):
            read_parameters(file)
        assert not alarm.exists()
        torch.load(file, weights_only=False)
        assert alarm.exists()
        alarm.unlink()


def test_a_pickle_in_the_place_of_a_checkpoint_is_not_opened(run, refusal, trap):
    for file in run.glob("checkpoint-*"):
        torch.save(trap, file)
    assert "no checkpoint to go on from" in refusal()
    for file in run.glob("checkpoint-*"):
        file.write_bytes(pickle.dumps(trap))
    assert "no checkpoint to go on from" in refusal()


@pytest.mark.parametrize("place", ["optimizer", "curvature", "inverse", "factors", "average"])
def test_a_checkpoint_cannot_name_a_class_of_its_own(run, refusal, alarm, place):
    """Its checksum is right; it was made by somebody who knows the format."""
    from kfac_cli.checkpoint.tensor_file import read_tree

    [path] = [file for file in run.glob("checkpoint-4.*")]
    tree = read_tree(path)
    session = tree["session"]
    strange = {"type": "Path.touch", "__class__": "os.system", "arguments": [str(alarm)]}
    holder = {
        "optimizer": session,
        "average": session,
        "curvature": session["optimizer"],
        "inverse": session["optimizer"]["curvature"],
        "factors": session["optimizer"]["curvature"],
    }[place]
    holder[place] = strange
    with path.open("wb") as file:
        write_tree(file, tree)
    assert "checkpoint" in refusal()


def yaml_program(alarm):
    return f"!!python/object/apply:os.system ['touch {alarm}']"


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [*{letter},*{letter},*{letter},*{letter},*{letter},*{letter}]\n"
    for letter, after in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


def test_settings_that_are_a_program_are_refused(run, refusal, alarm):
    settings = run / "config.yaml"
    written = settings.read_text()
    for text in (
        yaml_program(alarm),
        written.replace("seed: 0", f"seed: {yaml_program(alarm)}"),
        written.replace("seed: 0", "seed: !!python/name:os.system"),
        written.replace("seed: 0", "seed: !!python/module:os"),
        written + LAUGHS,
        written.replace("data_dir: null", "data_dir: ${oc.env:HOME}"),
        written.replace("data_dir: null", "data_dir: '${oc.decode:${oc.env:HOME}}'"),
        written.replace("seed: 0", "seed: " + "[" * 5000),
        written + "#" * 10**6,
        "\0" + written,
    ):
        settings.write_text(text)
        assert refusal().startswith(f"{settings}: cannot be read: ")


def test_settings_of_hydras_in_a_folder_are_refused(run, refusal, alarm):
    """Callbacks and launchers are made from _target_, the name of anything that can be called."""
    program = {"_target_": "os.system", "command": f"touch {alarm}"}
    settings = run / "config.yaml"
    written = yaml.safe_load(settings.read_text())
    for change in (
        {"hydra": {"callbacks": {"mine": program}}},
        {"hydra": {"launcher": program}},
        {"_target_": "os.system"},
        {"defaults": ["/hydra/launcher: joblib"]},
        {"optimizer": written["optimizer"] | program},
        {"dataset": written["dataset"] | {"_target_": "os.system"}},
    ):
        settings.write_text(yaml.safe_dump(written | change))
        line = refusal()
        assert line.startswith(f"{settings}: ")
        assert "no such setting" in line


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "", ".", "..", "x" * 300, "\x1b[31m"])
def test_a_folder_cannot_name_another_place(run, refusal, name):
    settings = run / "config.yaml"
    written = yaml.safe_load(settings.read_text())
    written["optimizer"]["name"] = name
    settings.write_text(yaml.safe_dump(written))
    assert "must be 1 to 64 letters, digits, - or _" in refusal()


@pytest.mark.parametrize("name", ["run.log", "metrics.csv", "checkpoint-9.safetensors", "x"])
def test_a_pipe_in_a_folder_is_not_waited_for(run, refusal, name):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    assert refusal() == f"{run / name}: is no file; a run goes on in files only"


BROKEN_SUMMARIES = [
    "",
    "{}",
    "[" * 100_000,
    '{"status": "finished", "iterations": 1e999, "seconds": 1, "best_train_error": 1}',
    '{"status": "finished", "iterations": ' + "9" * 5000 + "}",
    '{"status": "target reached", "iterations": 4, "seconds": 1, "best_train_error": "x"}',
    '{"status": [], "iterations": null, "seconds": {}, "best_train_error": []}',
    "\ud800",
]


@pytest.mark.parametrize("text", BROKEN_SUMMARIES, ids=lambda text: ascii(text[:40]))
def test_a_summary_that_makes_no_sense_does_not_matter(kfac_run, run, text):
    (run / "summary.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    answer = kfac_run("resume=run", "iterations=6", "target_error=1e-9")
    assert answer.code == 0, answer.err
    assert json.loads((run / "summary.json").read_text())["iterations"] == 6


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv"])
@pytest.mark.parametrize("cell", ["x", "1.5.6", "\ud800", "=cmd|' /C calc'!A0", ","])
def test_a_damaged_table_is_refused(run, refusal, name, cell):
    """Also in a row that is complete and of an iteration that should stay."""
    lines = (run / name).read_text().splitlines(keepends=True)
    lines[1] = lines[1].partition(",")[0] + f",{cell}," + lines[1].split(",", 2)[2]
    (run / name).write_bytes("".join(lines).encode("utf-8", "surrogatepass"))
    assert refusal().startswith(f"{run / name}")


# Where a run writes


@pytest.mark.parametrize(
    "name", ["../../../x", "/tmp/x", "a/b", "..", "", "x" * 5000, "a\0b", "\ud800", "null", "ü"]
)
def test_a_name_is_that_of_a_single_folder(name):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", folder_name(name))


@pytest.mark.parametrize("setting", ["optimizer.name", "dataset.name"])
@pytest.mark.parametrize("value", ["../../../x", "/tmp/kfac-run-x", "..", "x" * 300])
def test_a_name_does_not_lead_out_of_the_folder_of_runs(kfac_run, tmp_path, setting, value):
    """Not even where a value that depends on the folder keeps it from being checked before."""
    here = tmp_path / "here/and/there"
    here.mkdir(parents=True)
    os.chdir(here)
    answer = kfac_run(f"{setting}={value}", "data_dir=${hydra:runtime.nowhere}")
    assert answer.code == 1
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert all(path.is_relative_to("here/and") for path in made - {Path("here")})
    assert {path.name for path in here.iterdir()} <= {"outputs"}
    assert not list(tmp_path.rglob("config.yaml")) or list(tmp_path.rglob(".hydra/config.yaml"))


# The package


EXECUTES = {
    "eval", "exec", "compile", "__import__", "system", "popen", "spawnl", "spawnv", "execv",
    "execve", "execl", "posix_spawn", "startfile", "instantiate", "unsafe_load", "full_load",
    "import_module", "run_path",
}  # fmt: skip
CARRY_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code"}
START_PROGRAMS = {"subprocess", "pty", "multiprocessing", "asyncio", "ctypes"}
SAFELY = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}


def called(node):
    """The name of what a call calls, without what it belongs to."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_module_executes_data_or_starts_programs(path):
    for node in ast.walk(ast.parse(path.read_text())):
        imported = []
        if isinstance(node, ast.Import):
            imported = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        roots = {name.partition(".")[0] for name in imported}
        assert not roots & (CARRY_CODE | START_PROGRAMS), imported
        if not isinstance(node, ast.Call):
            continue
        name, where = called(node), f"{path}:{node.lineno}"
        belongs_to_re = (
            isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re"
        )
        assert name not in EXECUTES or belongs_to_re, where
        assert "shell" not in {keyword.arg for keyword in node.keywords}, where
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if (owner, name) in SAFELY:
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            option, value = SAFELY[owner, name]
            assert given.get(option) == str(value), where
        assert (owner, name) != ("yaml", "load"), where


AUDITED = """
import sys

SHELLS = {"sh", "bash", "dash", "zsh", "csh", "ksh", "cmd", "cmd.exe", "powershell", "env"}
seen = []

def hook(event, arguments):
    if event == "subprocess.Popen":
        program, words = arguments[:2]
        names = {str(name).rpartition("/")[2] for name in (program, words[0])}
        if names & SHELLS:
            seen.append((event, str(words)))
    elif event in ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class"):
        seen.append((event, str(arguments)))

sys.addaudithook(hook)
from kfac_cli.app import main
from kfac_cli.interchange import read_parameters

begin = ["experiment=smoke", "iterations=2", "hydra.run.dir=run"]
for words in (begin, ["resume=run", "iterations=4"]):
    sys.argv = ["kfac-run", *words]
    assert main() == 0
read_parameters("run/parameters.pt")
assert seen == [], seen
import os, pickle
pickle.loads(pickle.dumps(os.getcwd))
os.system("true")
assert [event for event, _ in seen] == ["pickle.find_class", "os.system"], seen
"""


def test_no_run_starts_a_shell_or_opens_a_pickle(tmp_path):
    """Python's own audit of a run, of its going on and of reading what it left."""
    answer = subprocess.run(
        [sys.executable, "-c", AUDITED],
        cwd=tmp_path,
        env=os.environ | {"KFAC_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
