"""The findings of a study as findings.json and findings.txt."""

import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kfac_cli.errors import UserError
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.paper.arguments import Arguments
from kfac_cli.paper.study import RUNS, Finding, Verdict
from kfac_cli.recording.summary import SUMMARY_FILE
from kfac_cli.recording.values import significant

FINDINGS_FILE = "findings.json"
TEXT_FILE = "findings.txt"
FORMAT = 1
WIDTH = 100

ORDER = (Verdict.NOT_CONFIRMED, Verdict.CONFIRMED, Verdict.NOT_MEASURED)
"""What a reader must see first comes first."""


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those not confirmed first, otherwise in their order."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.verdict))


def findings_text(findings: Sequence[Finding]) -> str:
    """The findings for people, those not confirmed first."""
    counts = [
        f"{sum(each.verdict == verdict for each in findings)} {verdict.value}" for verdict in ORDER
    ]
    blocks = [", ".join(counts)]
    for finding in ordered(findings):
        lines = [f"{finding.verdict.value.upper()}: {finding.statement} ({finding.source})"]
        lines += [f"  {name}: {_shown(value)}" for name, value in finding.numbers.items()]
        lines += [f"  n: {finding.n}"] if finding.verdict is not Verdict.NOT_MEASURED else []
        lines += [finding.note] if finding.note else []
        blocks.append("\n".join(_wrapped(line) for line in lines))
    return "\n\n".join(blocks) + "\n"


def write_findings(
    folder: Path, findings: Sequence[Finding], arguments: Arguments, command: str
) -> None:
    """Write findings.txt, and then findings.json, which says that the study has ended.

    The latter also has the command line, and the versions and the processor or GPU of the runs.
    """
    contents = {
        "format": FORMAT,
        "study": arguments.name,
        "scale": arguments.scale.value,
        "command": command,
        "environment": _environment(folder, arguments.settings),
        "findings": [_jsonable(finding) for finding in ordered(findings)],
    }
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    heading = f"{arguments.name}, scale={arguments.scale}: {command}"
    replace_text(folder / TEXT_FILE, _safe(f"{heading}\n\n{findings_text(findings)}"))
    replace_text(folder / FINDINGS_FILE, _safe(text))


def read_findings(folder: Path) -> list[Finding]:
    """The findings that a study left; raises UserError if the file is damaged."""
    path = folder / FINDINGS_FILE
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        return [
            Finding(**{**entry, "verdict": Verdict(entry["verdict"])})
            for entry in contents["findings"]
        ]
    except (ValueError, LookupError, TypeError, RecursionError):
        reason = "is damaged; remove it to have it written again from the study's runs"
        raise UserError(f"{shown_folder(path)}: {reason}") from None


def _environment(folder: Path, settings: Sequence[str]) -> dict[str, object]:
    """That of the study's runs, a list of the values where they differ; without runs, of this."""
    import torch

    from kfac_cli.recording.environment import environment

    on_gpu = torch.cuda.is_available() and "device=cpu" not in settings
    own = environment("cuda" if on_gpu else "cpu")
    summaries = list(_summaries(folder / RUNS))
    if not summaries:
        given = [word.partition("=")[2] for word in settings if word.startswith("threads=")]
        return own | ({"thread_count": int(given[-1])} if given and given[-1].isdecimal() else {})
    return {name: _one_or_all([summary.get(name) for summary in summaries]) for name in own}


def _summaries(runs: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(runs.rglob(SUMMARY_FILE)):
        with suppress(ValueError):  # a damaged one, of a run that the study no longer needs
            summary = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(summary, dict):
                yield summary


def _one_or_all(values: Sequence[object]) -> object:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else distinct


def _jsonable(finding: Finding) -> dict[str, Any]:
    """As JSON has it: numbers that are not finite become text."""
    numbers = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in finding.numbers.items()
    }
    return {**asdict(finding), "verdict": finding.verdict.value, "numbers": numbers}


def _shown(value: float | int | str) -> str:
    return significant(value) if isinstance(value, float) else str(value)


def _wrapped(line: str) -> str:
    indent = "  " if not line.startswith(tuple(v.value.upper() for v in ORDER)) else ""
    return textwrap.fill(
        line.strip(), WIDTH, initial_indent=indent, subsequent_indent="    ", break_on_hyphens=False
    )


def _safe(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
