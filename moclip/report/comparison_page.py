"""Results side by side as text: plain tables for a terminal, and a page."""

from moclip.base.markdown import NO_VALUE, aligned, pct, signed, span
from moclip.report.render import render
from moclip.results.comparison import ComparedHead, Comparison


def as_text(comparison: Comparison) -> str:
    """The comparison as plain tables for a terminal."""
    blocks = [_heading(comparison)]
    if comparison.params:
        cells = [["parameter", *comparison.variants]]
        cells += [[key, *values.values()] for key, values in comparison.params.items()]
        blocks.append(aligned(cells))
    if comparison.shown:
        header = ["head", "variant", "top-1 %", "top-5 %", "mean class %", "test videos", "difference", "interval", ""]
        blocks.append(aligned([header, *map(_cells, comparison.shown)], right=range(2, len(header) - 1)))
    if comparison.identical:
        blocks.append(f"identical: {', '.join(comparison.identical)}")
    if comparison.is_run_elsewhere:
        blocks.append(elsewhere(comparison.baseline))
    blocks += ["\n".join(comparison.notes)] if comparison.notes else []
    return "\n\n".join(blocks)


def _heading(comparison: Comparison) -> str:
    differ = "" if comparison.params else "; no parameter differs"
    level = comparison.level.confidence_pct
    figures = f"in points of top-1 of first trainings, {level:g} % intervals over groups"
    return f"against {comparison.baseline}, {figures}{differ}"


def elsewhere(baseline: str) -> str:
    """What to do where the baseline was run elsewhere."""
    return (
        f"{baseline} holds results of another machine, or of other code: a head with the same parameters has other "
        "answers there. To hold variants against your own, run `make repro` and commit its results "
        "(`git commit -am 'Results of this machine'`), or name a run of yours with --baseline."
    )


def _cells(row: ComparedHead) -> list[str]:
    difference = NO_VALUE if row.difference is None else signed(row.difference)
    shares = [pct(row.top1_pct), pct(row.top5_pct), pct(row.mean_class_pct)]
    interval = span(row.interval, with_sign=True)
    return [row.head, row.variant, *shares, str(row.n_test), difference, interval, row.verdict]


def as_markdown(comparison: Comparison) -> str:
    """The comparison as a page."""
    return render("compare.md.j2", c=comparison, elsewhere=elsewhere(comparison.baseline))
