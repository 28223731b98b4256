"""Untrusted files are data: nothing in them is executed, no path leaves its folder."""

import ast
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
import yaml
from soak.experiment import overrides, prepare, write_cases

import kfac_cli
from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.commands.main import folder_name
from kfac_cli.data import faces
from kfac_cli.data.arrays import load_arrays
from kfac_cli.data.cache import load_or_build
from kfac_cli.errors import UserError
from kfac_cli.parameters_file import read_parameters

# Pickles, which can execute code


@pytest.fixture
def alarm(tmp_path):
    """The file that an executed trap creates; it must not exist at the end of a test."""
    path = tmp_path / "sprung"
    yield path
    assert not path.exists()


@pytest.fixture
def trap(alarm):
    """An object whose pickle, when it is loaded, creates the file, which is verified here."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (alarm,)

    pickle.loads(pickle.dumps(Trap()))
    alarm.unlink()
    return Trap()


@pytest.fixture
def pixels(monkeypatch):
    """Bytes (400, 4096) that count as the canonical photographs."""
    pixels = np.zeros((400, 4096), np.uint8)
    pixels[::7, ::5] = 242
    upright = pixels.reshape(400, 64, 64).transpose(0, 2, 1)
    monkeypatch.setattr(faces, "SHA256", faces.hashlib.sha256(upright.tobytes()).hexdigest())
    return pixels


@pytest.mark.parametrize("place", ["alone", "before", "behind", "within"])
def test_a_pickle_instead_of_the_photographs_is_not_opened(tmp_path, pixels, trap, place):
    within = np.array([trap], dtype=object)
    contents = {"alone": trap, "before": [trap, pixels], "behind": [pixels, trap], "within": within}
    joblib.dump(contents[place], tmp_path / faces.FILE, compress=6)
    with pytest.raises(UserError, match=re.escape(faces.FILE)):
        faces.read_photographs(tmp_path)


def test_photographs_after_a_trap_are_read_without_executing_it(tmp_path, pixels, trap):
    program = pickle.dumps(trap, protocol=4)[:-1]  # without the last opcode
    (tmp_path / faces.FILE).write_bytes(zlib.compress(program + pixels.tobytes() + b"."))
    assert faces.read_photographs(tmp_path).max() == 1


def arrays(**given):
    names = ("file", "train_inputs", "train_targets", "test_inputs", "test_targets")
    shape = {"layer_sizes": (2, 2), "output": "gaussian", "image_shape": None}
    return SimpleNamespace(**(dict.fromkeys(names) | shape | given))


@pytest.mark.parametrize("name", ["train_inputs", "test_targets"])
def test_a_pickle_among_a_users_arrays_is_not_opened(tmp_path, trap, name):
    plain, trapped = np.zeros((3, 2)), np.array([[trap, trap]], dtype=object)
    parts = dict.fromkeys(("train_inputs", "train_targets", "test_inputs", "test_targets"), plain)
    np.savez(tmp_path / "all.npz", **(parts | {name: trapped}))
    np.save(tmp_path / "plain.npy", plain)
    np.save(tmp_path / "trapped.npy", trapped)
    paths = dict.fromkeys(parts, str(tmp_path / "plain.npy"))
    for config in (
        arrays(file=str(tmp_path / "all.npz")),
        arrays(**(paths | {name: str(tmp_path / "trapped.npy")})),
    ):
        with pytest.raises(UserError, match="without pickled objects"):
            load_arrays(config)


@pytest.mark.parametrize("name", ["key", "images"])
def test_a_pickle_in_a_cache_is_not_opened(tmp_path, trap, name):
    file, images = tmp_path / "cache.npz", np.ones((3, 2), np.float32)
    contents = {"key": np.array("key"), "images": images}
    np.savez(file, **(contents | {name: np.array([trap], dtype=object)}))
    found = load_or_build(file, "key", {"images": (3, 2)}, lambda: {"images": images})
    assert np.array_equal(found["images"], images)


def tar_of(program):
    """The oldest format of torch.load, which it read without asking before torch 2.6."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            member = tarfile.TarInfo(name)
            member.size = len(program)
            archive.addfile(member, io.BytesIO(program))
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["zip", "dict in a zip", "pickle", "tar"])
def test_saved_parameters_are_read_without_opening_a_pickle(tmp_path, trap, form):
    file = tmp_path / "parameters.pt"
    keys = ("layer_sizes", "activations", "output", "average", "parameters")
    if form in ("pickle", "tar"):
        program = pickle.dumps(trap, protocol=2)
        file.write_bytes(program if form == "pickle" else tar_of(program))
    else:
        torch.save(trap if form == "zip" else dict.fromkeys(keys, trap), file)
    with pytest.raises(UserError, match=r"is not a parameters\.pt"):
        read_parameters(file)


# The folder of a run


@pytest.fixture
def run(kfac_run, tmp_path):
    """The folder of a run that ended after 4 iterations and can be resumed."""
    file = Path("cases.npz")
    write_cases(file)
    prepare(tmp_path / "run", [*overrides(file, iterations=4), "tensorboard=false"])
    assert kfac_run("resume=run").code == 0
    return tmp_path / "run"


def contents(folder):
    files = {path for path in folder.rglob("*") if path.is_file()} - {folder / "run.log"}
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def refusal(kfac_run, run):
    """Asserts that resuming is refused with one line and an unchanged folder; returns the line."""

    def call(*words):
        before = contents(run)
        answer = kfac_run("resume=run", "iterations=8", *words)
        assert answer.code == 1
        [line] = [line for line in answer.err.splitlines() if line.startswith("kfac-run: ")]
        assert "Traceback" not in answer.err
        assert contents(run) == before
        return line.removeprefix("kfac-run: error: ")

    return call


@pytest.fixture
def edit(run):
    """Changes the settings in the folder."""

    def write(change):
        file = run / "config.yaml"
        settings = yaml.safe_load(file.read_text())
        change(settings)
        file.write_text(yaml.safe_dump(settings))

    return write


@pytest.fixture
def checkpoint(run):
    """The folder's newest checkpoint as a tree, and a function that replaces it."""
    file = run / "checkpoint-4.safetensors"

    def replace(tree):
        with file.open("wb") as stream:
            write_tree(stream, tree)

    return read_tree(file), replace


def test_a_pickle_instead_of_a_checkpoint_is_not_opened(run, refusal, trap):
    for write in (
        lambda file: torch.save(trap, file),
        lambda file: file.write_bytes(pickle.dumps(trap)),
    ):
        for file in run.glob("checkpoint-*"):
            write(file)
        assert "no checkpoint can be used" in refusal()


@pytest.mark.parametrize("place", ["optimizer", "average", "curvature", "inverse", "factors"])
def test_a_checkpoint_cannot_name_a_class(checkpoint, refusal, alarm, place):
    """Its checksum is right: an attacker knows the format."""
    tree, replace = checkpoint
    session = tree["session"]
    optimizer = session["optimizer"]
    holders = (session, optimizer, optimizer["curvature"], optimizer["direction"])
    [holder] = [holder for holder in holders if place in holder]
    holder[place] = {"type": "Path.touch", "__class__": "os.system", "arguments": [str(alarm)]}
    replace(tree)
    assert "cannot be used: session." in refusal()


def test_control_codes_in_a_checkpoint_do_not_reach_the_terminal(checkpoint, kfac_run):
    tree, replace = checkpoint
    tree["environment"]["torch"] = "\x1b]0;mine\x07"
    replace(tree)
    answer = kfac_run("resume=run", "iterations=5")
    assert answer.code == 0
    assert r"was \x1b]0;mine\x07" in answer.err
    assert "\x1b" not in answer.err + answer.out


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [*{letter},*{letter},*{letter},*{letter},*{letter},*{letter}]\n"
    for letter, after in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
PROGRAMS = (
    "!!python/object/apply:os.system ['touch sprung']",
    "!!python/name:os.system",
    "!!python/module:os",
    "${oc.env:HOME}",
    "'${oc.decode:${oc.env:HOME}}'",
    "*seed",
    "[" * 100_000,  # would take hours to parse
    "9" * 10_000,
    "#" * 1_000_000,
    "\0",
)


def test_settings_that_are_a_program_or_a_bomb_are_refused(run, refusal, alarm):
    settings = run / "config.yaml"
    written = settings.read_text()
    texts = [written.replace("seed: 0", f"seed: {program}") for program in PROGRAMS]
    for text in (*texts, PROGRAMS[0], written + LAUGHS):
        settings.write_text(text)
        assert refusal().startswith(f"{settings}: cannot be read: ")


PROGRAM = {"_target_": "os.system", "command": "touch sprung"}


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.update(hydra={"callbacks": {"mine": PROGRAM}}),
        lambda settings: settings.update(hydra={"run": {"dir": "/tmp"}}),
        lambda settings: settings.update(PROGRAM),
        lambda settings: settings.update(defaults=["/hydra/launcher: joblib"]),
        lambda settings: settings["optimizer"].update(PROGRAM),
        lambda settings: settings["dataset"].update(PROGRAM),
    ],
)
def test_nothing_that_hydra_would_call_is_a_setting_of_a_run(run, refusal, edit, alarm, change):
    edit(change)
    assert re.match(f"{run}/config.yaml: .*: no such setting", refusal())


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "", "..", "x" * 300, "\x1b[31m"])
def test_a_name_in_the_settings_is_no_path(refusal, edit, name):
    edit(lambda settings: settings["optimizer"].update(name=name))
    assert "must be 1 to 64 letters, digits, - or _" in refusal()


@pytest.mark.parametrize("dataset", ["curves", "mnist", "faces", "mnist_labels"])
def test_untrusted_settings_cannot_choose_a_folder_for_data(kfac_run, tmp_path, dataset):
    """A run would write its cache or downloads there; only the command line may name it."""
    folder = tmp_path / "home"
    folder.mkdir()
    prepare(tmp_path / "run", [f"dataset={dataset}", f"data_dir={folder}"])
    answer = kfac_run("resume=run", "iterations=1")
    assert answer.code == 1
    assert re.match(f"kfac-run: error: {tmp_path}/run/config.yaml: data_dir=.*: has no", answer.err)
    assert "add data_dir=FOLDER to the command line" in answer.err
    assert list(folder.iterdir()) == []


def test_a_folder_of_data_that_only_the_settings_name_is_used(kfac_run, tmp_path):
    words = ["experiment=smoke", "tensorboard=false", f"data_dir={tmp_path}/data"]
    prepare(tmp_path / "run", words)
    (tmp_path / "data/curves").mkdir(parents=True)
    assert kfac_run("resume=run", "iterations=1").code == 0
    assert len(list((tmp_path / "data/curves").iterdir())) == 1


@pytest.mark.parametrize("name", ["run.log", "x", "tensorboard/x", "curves", ".hydra/deep/x"])
def test_a_link_anywhere_in_a_folder_is_refused(run, refusal, tmp_path, name):
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path)
    assert refusal() == f"{run / name}: is a link; remove it, or replace it by what it points to"


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv", "config.yaml", "parameters.pt"])
def test_a_hard_link_elsewhere_is_not_written_to(run, kfac_run, tmp_path, name):
    """As in a copy of the folder that saves space; its other name keeps its contents."""
    os.link(run / name, tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    assert kfac_run("resume=run", "iterations=6", "tags=[longer]").code == 0
    assert (tmp_path / "elsewhere").read_bytes() == before
    assert (run / name).read_bytes() != before


def test_a_hard_linked_log_is_not_appended_to(run, kfac_run, tmp_path):
    (tmp_path / "elsewhere").write_text("precious\n")
    (run / "run.log").unlink(missing_ok=True)
    os.link(tmp_path / "elsewhere", run / "run.log")
    (run / "checkpoint-5.safetensors").write_bytes(b"damaged")  # which is logged
    kfac_run("resume=run", "iterations=6")
    assert (tmp_path / "elsewhere").read_text() == "precious\n"
    assert "damaged" in (run / "run.log").read_text()


@pytest.mark.parametrize("name", ["run.log", "metrics.csv", "checkpoint-9.safetensors"])
def test_a_pipe_in_a_folder_is_refused_without_blocking(run, refusal, name):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    assert refusal() == f"{run / name}: is neither a file nor a folder; remove it"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"status": "finished", "iterations": 1e999, "seconds": 1, "best_train_error": 1}',
        '{"status": "finished", "iterations": ' + "9" * 5000 + "}",
        '{"status": [], "iterations": null, "seconds": {}, "best_train_error": []}',
        "\ud800",
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_a_summary_that_makes_no_sense_does_not_matter(kfac_run, run, text):
    (run / "summary.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert kfac_run("resume=run", "iterations=6").code == 0


# Where a new run writes


@pytest.mark.parametrize(
    "name", ["../../../x", "/tmp/x", "a/b", "..", "", "x" * 5000, "a\0b", "\ud800", "ü"]
)
def test_a_folder_name_is_a_single_safe_component(name):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", folder_name(name))


@pytest.mark.parametrize("setting", ["optimizer.name", "dataset.name"])
def test_a_name_does_not_lead_out_of_the_folder_of_runs(kfac_run, tmp_path, monkeypatch, setting):
    """Not even if a value that depends on the folder prevents an earlier check."""
    here = tmp_path / "here/and/there"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert kfac_run(f"{setting}=../../../x", "data_dir=${hydra:runtime.nowhere}").code == 1
    made = {path for path in tmp_path.rglob("*") if path not in (here, *here.parents)}
    assert all(path.is_relative_to(here / "outputs") for path in made)


# The program


EXECUTES = {
    *("eval", "exec", "compile", "__import__", "import_module", "run_path", "instantiate"),
    *("system", "popen", "execl", "execv", "execve", "spawnl", "spawnv", "posix_spawn"),
    *("startfile", "unsafe_load", "full_load"),
}
FORBIDDEN_MODULES = {
    *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code"),
    *("subprocess", "pty", "multiprocessing", "asyncio", "ctypes"),
}
ALLOWED = {
    "paper/runs.py": {"subprocess"},
    "paper/registry.py": {"import_module"},
    "engine/parcel.py": {"pickle"},
}
"""Runs of a study are kfac-run by the same Python; studies are named in the registry itself; what
processes send to each other in a run, torch.distributed pickles too."""

SAFE_ONLY_WITH = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}


@pytest.mark.parametrize(
    "path", sorted(Path(kfac_cli.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_no_module_executes_data_or_starts_programs(path):
    allowed = ALLOWED.get(path.relative_to(Path(kfac_cli.__file__).parent).as_posix(), set())
    executes, forbidden = EXECUTES - allowed, FORBIDDEN_MODULES - allowed
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(name.name for name in node.names)]
            assert not {name.partition(".")[0] for name in names} & forbidden, names
        elif isinstance(node, ast.Call):
            name, where = ast.unparse(node.func), f"{path}:{node.lineno}"
            given = {ast.unparse(keyword) for keyword in node.keywords}
            assert name.rpartition(".")[2] not in executes or name == "re.compile", where
            safe = "yaml.BaseLoader" in map(ast.unparse, node.args)  # which makes texts only
            assert (name != "yaml.load" or safe) and "shell=True" not in given, where
            assert SAFE_ONLY_WITH.get(name, "") in {"", *given}, where


AUDITED = """
import sys

PROGRAMS = {"sh", "bash", "dash", "zsh", "ksh", "cmd", "cmd.exe", "powershell", "env", "latex"}
seen = []

def hook(event, arguments):
    if event == "subprocess.Popen":
        names = {str(name).rpartition("/")[2] for name in (arguments[0], arguments[1][0])}
        if names & PROGRAMS:
            seen.append((event, str(arguments)))
    elif event in ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class"):
        seen.append((event, str(arguments)))

sys.addaudithook(hook)
from kfac_cli.__main__ import main
from kfac_cli.torch_module import read_parameters

for words in ("experiment=smoke iterations=2 hydra.run.dir=run", "resume=run iterations=4"):
    sys.argv = ["kfac-run", *words.split()]
    assert main() == 0
read_parameters("run/parameters.pt")
assert seen == [], seen
import os, pickle
pickle.loads(pickle.dumps(os.getcwd))
os.system("true")
assert [event for event, _ in seen] == ["pickle.find_class", "os.system"], seen
"""


def test_no_run_starts_a_program_or_opens_a_pickle(tmp_path):
    """Python's audit of a run and its resumption, in a folder whose matplotlibrc asks for TeX."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    answer = subprocess.run(
        [sys.executable, "-c", AUDITED],
        cwd=tmp_path,
        env=os.environ | {"KFAC_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "run/run.png").exists()
