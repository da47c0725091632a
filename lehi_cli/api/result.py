"""What the functions of the API return: the report with everything in it, as objects, as a table, as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lehi_cli import gate
from lehi_cli.errors import AssertionFalseError, AssertionInconclusiveError, Exit, UnknownNameError, UsageError
from lehi_cli.experiment.recorded import remember_checks
from lehi_cli.experiment.report import Report
from lehi_cli.gate import Check
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.verdict import Verdict, Word

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class PairVerdict:
    """An optimizer against the reference, on one metric of one task.

    Attributes:
        task: title of the task.
        optimizer: label of the candidate.
        reference: label of the optimizer that it is compared with.
        metric: the split and the metric, such as `val_loss`.
        verdict: everything that was found out: intervals, p-values, failures, on the scale it was judged on.
        price: at what price, in words.
    """

    task: str
    optimizer: str
    reference: str
    metric: str
    verdict: Verdict
    price: str

    @property
    def word(self) -> Word:
        """`better`, `worse`, `equivalent` or `inconclusive`."""
        return self.verdict.word

    @property
    def n(self) -> int:
        """Seeds that both have."""
        return self.verdict.n

    @property
    def p(self) -> float:
        """The p-value that counts, adjusted for all verdicts of the comparison; NaN where no values compare."""
        return self.verdict.p_adjusted

    @property
    def difference(self) -> float:
        """Candidate against reference, negative in favour of the candidate.

        The relative change where losses are compared by their ratio (-0.29 is 29 % lower), else the difference of the
        values; NaN where no values compare.
        """
        return self._shown(self.verdict.difference)

    @property
    def interval(self) -> Interval:
        """The interval of `difference`; those of one comparison hold together with probability 95 %."""
        low, high = self.verdict.interval
        return Interval(self._shown(low), self._shown(high))

    def _shown(self, value: float) -> float:
        return math.expm1(value) if self.verdict.scale.kind == "ratio" and value < 700 else value

    def __str__(self) -> str:
        from lehi_cli.render.difference import shown_difference

        verdict = self.verdict
        shown = shown_difference(verdict.scale, verdict.difference, verdict.interval)
        names = f"{self.optimizer} against {self.reference} on {self.task}, {self.metric}"
        return f"{names}: {self.word}, {shown}, {self.n} seeds, {self.price}"


@dataclass(frozen=True, repr=False)
class Result:
    """What came of a comparison, a sweep or a training, or a report on what is stored.

    Attributes:
        report: everything that was found out, as the writers of every format take it.
        runs: the runs that it is about, trials left out.
        store: where they are kept.
        comparison: id under which `lehi report --comparison` shows it again; empty where the store does not keep it.
        failed: whether any run that was trained ended without a result.
    """

    report: Report
    runs: Sequence[StoredRun]
    store: Store
    comparison: str = ""
    failed: bool = False

    @property
    def verdicts(self) -> list[PairVerdict]:
        """Every verdict, task by task, best optimizer first; none in a sweep, and where there is nothing to compare."""
        return [
            PairVerdict(
                section.section.title,
                judgement.label,
                section.comparison.reference,
                f"{judgement.split}_{judgement.metric}",
                judgement.verdict,
                section.comparison.prices[judgement.label].words,
            )
            for section in self.report.sections
            if section.comparison
            for judgement in section.comparison.judgements
        ]

    @property
    def checks(self) -> Sequence[Check]:
        """What came of the assertions that were asked for with the call."""
        return self.report.checks

    def metrics(self) -> pa.Table:
        """Every logged row of every run, one table; `.to_pandas()` makes a data frame of it.

        The columns are those of the parquet files: `run_id`, `task`, `optimizer`, `label`, `options`, `budget`, `seed`,
        `split`, `epoch`, `step`, `samples`, `passes`, `seconds`, `loss`, `lr_now`, and every metric that was logged.
        """
        import pyarrow as pa

        from lehi_cli.runs.shards import read_table

        tables = [read_table(run.folder, self.store.notices) for run in self.runs]
        found = [table for table in tables if table is not None]
        return pa.concat_tables(found, promote_options="default") if found else pa.table({})

    def assert_true(self, *assertions: str, allow_diverged: bool = False) -> None:
        """Check that assertions about these runs hold, such as `lehi <= adam*1.05 @ val_loss`; see `lehi_cli.gate`.

        Args:
            assertions: all of them are one family.
            allow_diverged: let one be true although its better side loses more runs.

        Raises:
            AssertionFalseError: when one does not hold.
            AssertionInconclusiveError: when these seeds cannot tell.
            UsageError: when one is malformed, or is about what these runs do not have.
        """
        from lehi_cli.render.gate import in_one_line

        view = self.report.view
        if view.undecided:
            raise UsageError("nothing is decided by these runs", view.undecided)
        checks = gate.check_all(
            [gate.parse(text) for text in assertions],
            [item.section for item in self.report.sections],
            target=view.target,
            looks=view.looks,
            allow_diverged=allow_diverged,
            split=view.decides,
        )
        remember_checks(self.store, self.runs, checks)
        untrue = [check for check in checks if check.outcome != "true"]
        message = "\n".join(f"{in_one_line(check)}: {check.reason}" for check in untrue)
        outcome = gate.exit_code(checks)
        if outcome == Exit.ASSERT_FALSE:
            raise AssertionFalseError(message)
        if outcome == Exit.ASSERT_INCONCLUSIVE:
            raise AssertionInconclusiveError(message, "more seeds may settle it")

    def save(self, path: str | PathLike[str], format: str | None = None) -> Path:
        """Write the report into a file, replaced when it is there.

        Args:
            path: the file; where no format is given its name tells it: `.html`, `.md`, `.csv`, `.json`, `.tex`, `.txt`.
            format: one of `lehi_cli.render.export.FORMATS`.

        Raises:
            UsageError: when the name tells no format, or the file cannot be written.
            UnknownNameError: when there is no such format.
        """
        from lehi_cli.render.export import FORMATS, format_of, save

        if format is not None and format not in FORMATS:
            raise UnknownNameError("format", format, FORMATS)
        path = Path(path)
        save(self.report, path, format or format_of(path))
        return path

    def __str__(self) -> str:
        """The report as a terminal without colour shows it."""
        from lehi_cli.render.export import formatted

        return formatted(self.report, "table")

    def __repr__(self) -> str:
        """The answers alone."""
        from lehi_cli.render.report import brief_lines

        return "\n".join([f"<lehi result, {len(self.runs)} runs>", *brief_lines(self.report)])

    def _repr_html_(self) -> str:
        """The report as a page, in a frame of its own so that its style and the notebook's do not mix."""
        from lehi_cli.render.export import formatted

        page = escape(formatted(self.report, "html"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40em; border: 0" title="lehi report"></iframe>'
