"""A folder that cannot be resumed as it is: one line says why, and nothing in it is lost."""

import os

import pytest
import torch

from kfac_cli.checkpoint.contents import FORMAT
from tests.commands.resume.helpers import change_checkpoint, refusal

UNUSABLE = "run/checkpoint-12.safetensors: cannot be used: "


@pytest.mark.parametrize(
    ("change", "line"),
    [
        *(
            ({"format": other}, "run: its checkpoint is from another version of kfac-run (")
            for other in (FORMAT - 1, FORMAT + 1)
        ),
        ({"session": {"optimizer": {}}}, f"{UNUSABLE}session.earlier: is missing; remove it to"),
        ({"session": None}, f"{UNUSABLE}session=null: must be a group of values; "),
        ({"times": {"seconds": "3"}}, f"{UNUSABLE}times.seconds=3: must be a number from 0 to "),
        ({"iteration": "12"}, f"{UNUSABLE}iteration=12: must be a whole number from 0 to "),
        ({"config": []}, f"{UNUSABLE}config=(a list of 0): must be a group of values; "),
    ],
)
def test_a_checkpoint_with_other_contents_is_refused(kfac_run, half, change, line):
    change_checkpoint(half / "checkpoint-12.safetensors", lambda tree: tree.update(change))
    assert refusal(kfac_run, half, "resume=run", "iterations=20").startswith(line)


def test_parameters_of_other_shapes_are_refused(kfac_run, half):

    def widen(tree):
        tree["session"]["optimizer"]["parameters"][0] = torch.zeros(6, 14)

    change_checkpoint(half / "checkpoint-12.safetensors", widen)
    line = refusal(kfac_run, half, "resume=run", "iterations=20")
    assert line == (
        f"{UNUSABLE}session.optimizer.parameters[0]=(torch.float32 of the shape [6, 14]): must be "
        "torch.float32 of the shape [6, 13]; remove it to resume from an older one"
    )


def test_an_ended_run_without_checkpoints_is_not_started_again(kfac_run, half):
    (half / "checkpoint-12.safetensors").unlink()
    assert refusal(kfac_run, half, "resume=run", "iterations=20") == (
        "run: has ended and holds no checkpoint to resume from"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "dataset: has no value"),
        ("- 1\n", "does not hold the settings of a run"),
        ("a: [\n", "cannot be read: "),
        ("iterations: 3\n", "dataset: has no value"),
        ("!!python/object/apply:os.system ['touch owned']\n", "cannot be read: "),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(kfac_run, half, tmp_path, text, reason):
    (half / "config.yaml").write_text(text)
    line = refusal(kfac_run, half, "resume=run")
    assert line.startswith(f"{half}/config.yaml: {reason}")
    assert not (tmp_path / "owned").exists()


def test_two_processes_cannot_use_one_folder(kfac_run, half):
    import fcntl

    descriptor = os.open(half, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        line = refusal(kfac_run, half, "resume=run", "iterations=20")
        assert line == "run: is in use by another kfac-run process"
    finally:
        os.close(descriptor)
    assert kfac_run("resume=run", "iterations=20").code == 0


@pytest.mark.parametrize("name", ["metrics.csv", "run.log", "tensorboard/events", "error.log"])
def test_a_link_in_the_folder_is_refused(kfac_run, half, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (half / "tensorboard").mkdir(exist_ok=True)
    (half / name).unlink(missing_ok=True)
    (half / name).symlink_to(victim)
    answer = kfac_run("resume=run", "iterations=20")
    assert answer.code == 1
    assert f"{half / name}: is a link" in answer.err
    assert victim.read_text() == "precious"
