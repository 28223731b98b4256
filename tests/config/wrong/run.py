"""Wrong values of the settings outside the sections, of `polyak` and of `preset`."""

from tests.config.helpers import WHOLE

DEVICE = "must be auto, cpu, cuda, or cuda:N for the GPU with the number N"

RUN = [
    (["iterations=0"], f"iterations=0: {WHOLE} 1 to 1000000000"),
    (["iterations=abc"], f"iterations=abc: {WHOLE} 1 to 1000000000"),
    (["iterations=1.5"], f"iterations=1.5: {WHOLE} 1 to 1000000000"),
    (["iterations=true"], f"iterations=true: {WHOLE} 1 to 1000000000"),
    (["iterations="], f'iterations="": {WHOLE} 1 to 1000000000'),
    (["iterations=null"], f"iterations=null: {WHOLE} 1 to 1000000000"),
    (["iterations=[3]"], f"iterations=[3]: {WHOLE} 1 to 1000000000"),
    (["iterations=" + "9" * 4000], f"iterations=(a number of 13288 bits): {WHOLE} 1 to 1000000000"),
    (["chunk_size=-5"], "chunk_size=-5: must be auto or a whole number from 1 to 1000000000"),
    (["chunk_size=all"], "chunk_size=all: must be auto or a whole number from 1 to 1000000000"),
    (["seed=-1"], f"seed=-1: {WHOLE} 0 to 9223372036854775807"),
    (["evaluate_every=0"], f"evaluate_every=0: {WHOLE} 1 to 1000000000"),
    (["l2=-1"], "l2=-1: must be a number in [0, 1000]"),
    (["l2=nan"], "l2=nan: must be a number in [0, 1000]"),
    (["l2=inf"], "l2=inf: must be a number in [0, 1000]"),
    (["target_error=-1"], "target_error=-1: must be null or a number in [0, 1e+12]"),
    (["require_target=true"], "require_target=true: needs target_error; set it to a number"),
    (["require_target=1", "target_error=1"], "require_target=1: must be true or false"),
    (["max_seconds=0"], "max_seconds=0: must be null or a number in (0, 1e+09]"),
    (["device=gpu"], f"device=gpu: {DEVICE}"),
    (["device=cuda:"], f"device=cuda:: {DEVICE}"),
    (["device=cuda:01"], f"device=cuda:01: {DEVICE}"),
    (["device=cuda:-1"], f"device=cuda:-1: {DEVICE}"),
    (["device=cpu:0"], f"device=cpu:0: {DEVICE}"),
    (["dtype=float16"], "dtype=float16: must be float32 or float64"),
    (["matmul=fast"], "matmul=fast: must be auto, blas, onednn or tf32"),
    (["tensorboard=maybe"], "tensorboard=maybe: must be true or false"),
    (["data_dir="], 'data_dir="": must be null or a path'),
    (["data_dir=3"], "data_dir=3: must be null or a path"),
    (["threads=0"], "threads=0: must be null or a whole number from 1 to 1024"),
    (["polyak.decay=1"], "polyak.decay=1: must be a number in [0, 1)"),
    (["polyak=3"], "polyak=3: must be a group of settings"),
    (["~preset"], "preset: has no value; give one as preset=VALUE"),
    (["preset.name=paper"], "preset.name=paper: cannot be set; choose preset=NAME instead"),
    (
        ["preset=companion", "preset.polyak_start=3"],
        "preset.polyak_start=3: cannot be set; set polyak.start instead",
    ),
    (["optimizer=adam", "+preset.lr=1"], "preset.lr=1: no such setting"),
    (["~iterations"], "iterations: has no value; give one as iterations=VALUE"),
    (["iterations=${nowhere}"], "iterations: Interpolation key 'nowhere' not found"),
]
"""Each command line with the line that refuses it."""
