"""Not a stage: `moclip verify` holds the finished run against a revision's: the same bytes, or the same findings?"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moclip.base.files import read_json
from moclip.base.outputs import claim_file, writing_file
from moclip.base.outside.terminal import say
from moclip.cli.options.scripts import parser_of
from moclip.results.contrast import DIFFERENT, NOT_KNOWN, NOT_SHOWN
from moclip.results.predictions import read_outcomes
from moclip.results.verification import SAME_WITHIN, VERDICTS, SplitCheck, check_split, worst
from stages._entry import PARAMS_FILE, command, read_params
from stages._layout import evaluated
from stages._results import level_of_params
from stages.dvc.experiments import WORKSPACE, Revision, find, snapshot
from stages.dvc.lock import Lock, Origins, origins, read_lock

LOCKS = ("dvc.lock", "heads/dvc.lock")
RESULTS, SUMMARY, OF_PAPERS = Path("results/heads"), Path("reports/summary.json"), Path("reports/verdicts.json")
NOTHING_COMPARABLE = 2


def main() -> int:
    args = parser_of("verify").parse_args()
    if args.out:
        claim_file(args.out, None)
    with tempfile.TemporaryDirectory() as folder:
        then, now = (_files(find(name), Path(folder) / str(k)) for k, name in enumerate((args.against, WORKSPACE)))
        stages = origins(_lock(then), _lock(now))
        heads = [head for head in _heads(now) if head in _heads(then) and head not in stages.not_comparable]
        checks = [check for head in heads for check in _checks(head, then, now)]
        # A conclusion rests on several heads: it is held only where the setting is the same.
        conclusions = list(_conclusions(then, now)) if checks and not stages.other else []
    text = _as_json(stages, checks, conclusions) if args.json else _as_text(args.against, stages, checks, conclusions)
    say(text.removesuffix("\n"))
    if args.out:
        with writing_file(args.out, None) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    if not checks:
        return NOTHING_COMPARABLE
    return int(VERDICTS.index(worst(checks)) > VERDICTS.index(SAME_WITHIN) or not all(same for _, same in conclusions))


def _files(revision: Revision, folder: Path) -> Path:
    """A folder with all that is compared of a revision."""
    return snapshot(revision, [*LOCKS, *map(str, (PARAMS_FILE, RESULTS, SUMMARY, OF_PAPERS))], folder)


def _lock(root: Path) -> Lock:
    return read_lock(*(root / name for name in LOCKS))


def _heads(root: Path) -> list[str]:
    params = read_params(root / PARAMS_FILE)
    return [head for head in params["heads"] if (root / RESULTS / head).is_dir()]


def _checks(head: str, then: Path, now: Path) -> Iterator[SplitCheck]:
    splits = set(read_params(then / PARAMS_FILE)["splits"]) & set(read_params(now / PARAMS_FILE)["splits"])
    for split in sorted(splits):
        files = [evaluated(root / RESULTS / head, split) for root in (then, now)]
        before, after = (read_outcomes(made.outcomes) for made in files)
        pairs = [{name: path.read_bytes() for name, path in asdict(made).items() if path.is_file()} for made in files]
        yield check_split(head, split, before, after, pairs[0] == pairs[1], level_of_params())


def _conclusions(then: Path, now: Path) -> Iterator[tuple[str, bool]]:
    """Each printed conclusion, and whether both runs draw it in the same word."""
    words = [dict(_words(root)) for root in (then, now)]
    for name in words[1]:
        if name in words[0]:
            yield name, words[0][name] == words[1][name]


def _words(root: Path) -> Iterator[tuple[str, Any]]:
    """Conclusions of a run: differences by name, verdicts by paper and statement; runs before verdicts had a file."""
    for name, difference in read_json(root / SUMMARY)["differences"].items():
        yield name, _word(difference)
    papers = read_json(root / OF_PAPERS) if (root / OF_PAPERS).is_file() else {}
    for name, paper in papers.items():
        for claim in paper["claims"]:
            yield f"{name}: {claim['statement']}", claim["verdict"]


def _word(difference: Mapping[str, Any]) -> Any:
    """The word of a difference; of a report that an older version wrote, in today's words."""
    if "word" in difference:
        return difference["word"]
    return {True: DIFFERENT, False: NOT_SHOWN}.get(difference["significant"], NOT_KNOWN)


def _as_json(stages: Origins, checks: list[SplitCheck], conclusions: list[tuple[str, bool]]) -> str:
    found: Mapping[str, Any] = {
        "stages": asdict(stages),
        "heads": [asdict(check) for check in checks],
        "conclusions": dict(conclusions),
        "verdict": worst(checks) if checks else None,
    }
    return json.dumps(found, indent=2, default=list) + "\n"


def _as_text(against: str, stages: Origins, checks: list[SplitCheck], conclusions: list[tuple[str, bool]]) -> str:
    if not checks:
        return f"nothing of this run can be held against {against}: {stages}; `moclip compare` shows variants\n"
    lines = [f"against {against}: {stages}"]
    width = max(len(check.head) for check in checks)
    lines.append(f"{'head':{width}}  split  predictions changed  top-1 then -> now  difference            verdict")
    for check in checks:
        span = "-" if check.interval is None else f"[{check.interval['low']:+.1f}, {check.interval['high']:+.1f}]"
        lines.append(
            f"{check.head:{width}}  {check.split:5}  {f'{check.changed} of {check.n_test}':>19}  "
            f"{f'{check.then_pct:.1f} -> {check.now_pct:.1f}':>17}  "
            f"{check.now_pct - check.then_pct:+.1f} {span:16}  {check.verdict}"
        )
    others = [name for name, same in conclusions if not same]
    if conclusions:
        lines.append(f"conclusions: {len(conclusions) - len(others)} of {len(conclusions)} the same")
    lines += [f"  other: {name}" for name in others]
    lines.append(f"verdict: {worst(checks)}{', other conclusions' if others else ''}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command(main)
