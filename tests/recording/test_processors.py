"""How many processors a run may use, and when others leave it too few: with made-up systems."""

import os

import pytest

from kfac_cli.recording.processors import Load, busy_warning, usable_processors


@pytest.fixture
def eight(monkeypatch):
    """A process that may run on eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1f\n1:name=systemd:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "no numbers\n"}, 8),
        ({"proc/self/cgroup": "nonsense\n"}, 8),
    ],
)
def test_the_quota_of_the_container_counts(tmp_path, eight, files, processors):
    write(tmp_path, files)
    assert usable_processors(tmp_path) == processors


def test_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert usable_processors(tmp_path) == 1


def test_without_affinity_all_processors_count(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_processors(tmp_path) == 5


START = Load(wall=100.0, own=10.0, all=1000.0)


@pytest.mark.parametrize(
    ("seconds", "own", "others", "threads", "processors", "free"),
    [
        (2.0, 2.0, 2.0, 2, 2, 1),  # one of two is busy
        (2.0, 2.0, 0.2, 2, 2, None),
        (2.0, 2.0, 2.0, 1, 2, None),  # a single thread has its own
        (2.0, 2.0, 4.0, 8, 16, None),  # enough are left
        (2.0, 2.0, 24.0, 8, 16, 4),
        (2.0, 2.0, 60.0, 8, 16, 1),
        (0.1, 0.1, 0.1, 2, 2, None),  # too short to say
    ],
)
def test_a_busy_machine_is_told_with_the_way_out(seconds, own, others, threads, processors, free):
    after = Load(100.0 + seconds, 10.0 + own, 1000.0 + own + others)
    line = busy_warning(START, after, threads, processors)
    assert (line is None) == (free is None)
    if line is not None:
        assert line == (
            f"others use {others / seconds:.1f} of {processors} processors; threads={free} may be "
            "much faster"
        )
        assert len(f"Warning: {line}") <= 80


def test_a_system_that_does_not_tell_is_not_busy():
    assert busy_warning(START._replace(all=None), START._replace(wall=200.0), 8, 8) is None
