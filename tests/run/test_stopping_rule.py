"""A rule that is passed to a run stops it after an evaluation."""

import io

from soak.experiment import composed, overrides, write_cases

from kfac_cli.checkpoint.folder import checkpoint_iterations
from kfac_cli.config.validation import validate
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run
from kfac_cli.run.saved_run import read_saved_run


def test_a_rule_stops_a_run_with_its_status_and_sees_the_earlier_evaluations_on_resuming(tmp_path):
    write_cases(tmp_path / "cases.npz")
    words = (*overrides(tmp_path / "cases.npz", iterations=12), "tensorboard=false")
    config = validate(composed(words))
    folder = tmp_path / "run"
    folder.mkdir()
    seen = []

    def rule(row):
        seen.append(row["iteration"])
        return "pruned" if row["iteration"] == 8 else None

    def progress():
        return Progress(config.iterations, io.StringIO())

    result = run(config, folder, progress(), rule=rule)
    assert (result.status, result.iterations, seen) == ("pruned", 8, [4, 8])
    assert checkpoint_iterations(folder) == [8]
    again = run(config, folder, progress(), read_saved_run(config, folder, {}), rule=rule)
    assert (again.status, again.iterations, seen) == ("pruned", 8, [4, 8, 4, 8])
    free = run(config, folder, progress(), read_saved_run(config, folder, {}))
    assert (free.status, free.iterations) == ("finished", 12)
