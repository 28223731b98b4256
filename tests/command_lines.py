"""Strategies for command lines with wrong, odd or absurd arguments."""

from hypothesis import strategies as st

from kfac_cli.config.names import GROUPS, setting_names

HOSTILE_VALUES = [
    # numbers that are none, or not finite, or too large to print
    "", "null", "true", "nan", "-inf", "1e400", "1e-400", "-0", "0x10", "1_000", "10**9", "1e9",
    "9" * 30, "9" * 5000, "-1", "0", "1", "0.5", "2147483648", "9223372036854775808", "3.0000001",
    # special in Hydra's grammar or YAML
    "???", "'", '"', "''", '""', "\\", "\\,", "a,b", "1,2", "[", "]", "{", "}", "[]", "{}", "[[]]",
    "[1,2", "{a:1}", "{a:{b:[c]}}", "{1:2}", "{null:1}", "{a:1,a:2}", "[null]", "[1,'',true,nan]",
    "[784,784]", "[784,1000000,784]", "[logistic]", "'[1'", "key=value", "=", "a:b", "# no", "%",
    "@", "choice(1,2)", "range(3)", "range(0,1000000000)", "glob(*)", "interval(0,1)", "sort(2,1)",
    "shuffle(1,2)", "tag(x,1)", "int(3)", "int(x)", "float(nan)", "str(1)", "bool(2)",
    "json_str(1)", "extend_list(1)", "nosuch(1)", "range(1,2,0)", "choice()",
    "!!python/name:os.system",
    # interpolations
    "${iterations}", "${missing}", "${dataset}", "${dataset.name}", "${optimizer.name}", "${seed}x",
    "${oc.env:HOME}", "${oc.env:NOT_SET_AT_ALL}", "${oc.env:NOT_SET_AT_ALL,5}", "${oc.env:}",
    "${oc.decode:'[1'}", "${oc.decode:null}", "${oc.create:{a:1}}", "${oc.select:seed,1}",
    "${oc.dict.keys:dataset}", "${oc.dict.values:polyak}", "${oc.deprecated:seed}", "${nosuch:1}",
    "${hydra:run.dir}", "${hydra:nope}", "${hydra:runtime.output_dir}", "${hydra:job.num}",
    "${now:%Y}", "${now:%}", "${run_stamp:}", "${run_stamp:1}", "${python_version:}", "${", "$",
    "${}", "${.}", "${..}", "${...a}", "${.seed}", "${${seed}}", "${seed", "$${seed}", "\\${seed}",
    "${a b}", "${polyak.start}", "${l2}", "${schedule}", "${oc.env:${oc.env:HOME}}",
    "${iterations}${seed}",
    # paths and texts
    "../x", "a/b", "~", "~nobody-of-that-name/x", ".", "..", "con", "a" * 300, "x" * 100_000, " ",
    "\t", "\n", "'a\nb'", "'\x1b[31mred'", "\0", "'\0'", "ü", "'ü'", "\u202e", "'\u2028'", "\ud800",
    "'\udcff'", "\U0001f600", "'\U0001f600'", "\ufeff", "'\x7f'", "\u0661",
    # very deep or very long
    "[" * 50, "[" * 3000, "{a:" * 60 + "1" + "}" * 60, "[" * 60 + "]" * 60, "${" * 50 + "}" * 50,
    "[" + "1," * 2000 + "1]", "(" * 500, "'" * 501, "\\" * 501,
]  # fmt: skip

HOSTILE_KEYS = [
    "", " ", "=", "+", "~", "@", ":", ".", "..", "a", "a.b", "a.b.c.d.e.f", ".seed", "seed.",
    "seed..x", "seed.x", "dataset.name.x", "dataset.layer_sizes.0", "dataset.layer_sizes.99",
    "polyak", "nope", "dataset.layer_sizes[0]", "dataset.activations.-1", "optimizer@polyak",
    "optimizer@:x", "seed@x", "dataset:name", "dataset/x", "dataset/", "/dataset", "experiment@a:b",
    "+seed", "++seed", "++nope", "+nope", "+a.b.c", "~seed", "~dataset", "~polyak.start", "~nope",
    "~", "++", "+~", "_target_", "+_target_", "optimizer._target_", "+optimizer._target_", "_self_",
    "defaults", "package", "null", "true", "1", "1.5", "{a}", "[0]", "${seed}", "${nope}",
    "Iterations", "ITERATIONS", "it erations", "k" * 300, "k" * 20_000, "k." * 300 + "k", "ключ",
    "\ud800", "\0", "\n", "a\nb", "\x1b[31m",
    # Hydra's own
    "hydra", "hydra.nope", "hydra.mode", "hydra.verbose", "hydra.output_subdir", "hydra.job.name",
    "hydra.job.chdir", "hydra.job.num", "hydra.job.id", "hydra.job.config_name", "hydra.searchpath",
    "hydra.job.override_dirname", "hydra.runtime.output_dir", "hydra.runtime.cwd", "hydra.sweep",
    "hydra.run", "hydra.job", "hydra.job_logging", "hydra.sweeper", "hydra.launcher", "hydra.help",
    "hydra.sweeper.params", "+hydra.sweeper.params.seed", "hydra.sweeper.max_batch_size",
    "hydra.job_logging.handlers", "hydra.job_logging.root.level", "hydra.job_logging.version",
    "hydra.callbacks", "+hydra.callbacks.mine", "hydra.sweep.subdir", "hydra/launcher",
    "hydra/sweeper", "hydra/job_logging", "hydra/hydra_logging", "hydra/output", "hydra/env",
    "hydra/help", "+hydra/callbacks", "hydra.overrides", "hydra.choices", "hydra.env",
    "hydra.hydra_help",
]  # fmt: skip

ODD_WORDS = [
    "", "=", "==", "+", "~", "++", "@", "-", "--", "---", "-m", "-mm", "--multirun", "--run", "-r",
    "-c", "-c=job", "--cfg=job", "--cfg=hydra", "--cfg=all", "-p", "--package=dataset",
    "--package=nope", "--resolve", "--info", "--info=all", "--info=plugins", "--info=defaults",
    "--info=nope", "--help", "--hydra-help", "--version", "--vers", "-h", "--config-name=nope",
    "--config-name=", "-cn", "--config-path=nope", "--config-dir=nope", "--config-dir=.", "-cd=.",
    "--shell-completion", "-sc=query=bash", "-sc=nope", "--experimental-rerun=x", "--nope", "--cfg",
    "-x", "resume", "resume=", "resume=nope", "resume=.", "resume=''", "resume=\0", "resume=\ud800",
    "resume=a\nb", "resume=" + "r" * 300, "resume=/dev/null", "smoke", "experiment=smoke", "-1",
    "a b", "--=", "-=1",
]  # fmt: skip

printable = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=12)
anything = st.text(st.characters(), max_size=8)

values = st.one_of(
    st.sampled_from(HOSTILE_VALUES),
    st.sampled_from(HOSTILE_VALUES),
    st.integers().map(str),
    st.floats().map(str),
    printable,
    anything,
    anything.map(lambda text: f"'{text}'"),
    st.text("[]{}(),:='\"\\$~+@%#*?.- \t1aé", max_size=14),
)

known_keys = st.sampled_from([*setting_names(), *GROUPS])
keys = st.one_of(
    known_keys,
    known_keys,
    st.tuples(st.sampled_from(["", "+", "++", "~"]), known_keys).map("".join),
    st.sampled_from(HOSTILE_KEYS),
    anything,
)

WHERE = ["run", "run/deeper", "a b", "'ü'", "${nope}", "${seed}", "", "null"]
HARMLESS = {"hydra.run.dir": WHERE, "hydra.sweep.dir": WHERE}
"""The settings that decide where the command writes, which must be in the test's folder."""


@st.composite
def assignments(draw: st.DrawFn) -> str:
    """One argument of the form SETTING=VALUE, right or wrong."""
    if draw(st.integers(0, 19)) == 0:
        key = draw(st.sampled_from(sorted(HARMLESS)))
        return f"{key}={draw(st.sampled_from(HARMLESS[key]))}"
    return f"{draw(keys)}={draw(values)}"


words = st.one_of(assignments(), assignments(), assignments(), st.sampled_from(ODD_WORDS), anything)
command_lines = st.lists(words, min_size=1, max_size=4)
