"""The result of a comparison, a sweep, a training or a report: verdicts, runs, metrics, and the page in each format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lehi_cli import gate
from lehi_cli.errors import (
    AssertionFalseError,
    AssertionInconclusiveError,
    Exit,
    StoreError,
    UnknownNameError,
    UsageError,
)
from lehi_cli.experiment.recorded import remember_checks
from lehi_cli.experiment.report import Report
from lehi_cli.experiment.stored import TRIALS
from lehi_cli.gate import Assertion, Check
from lehi_cli.runs.store import Store
from lehi_cli.runs.stored_run import StoredRun
from lehi_cli.stats.paired import Interval
from lehi_cli.stats.verdict import Verdict, Word

from .options import path_of, texts

if TYPE_CHECKING:
    import pyarrow as pa

FRAME = (
    '<iframe srcdoc="{page}" title="lehi report" style="width: 100%; height: 40em; border: 0" '
    'onload="this.style.height = 0; '
    'this.style.height = `min(${{this.contentDocument.documentElement.scrollHeight}}px, 60em)`"></iframe>'
)
"""As tall as the page, up to 60 lines; 40 lines where a notebook allows no scripts."""


@dataclass(frozen=True)
class PairVerdict:
    """An optimizer against the reference, on one metric of one task.

    Attributes:
        task: title of the task.
        optimizer: label of the candidate.
        reference: label of the optimizer that it is compared with.
        metric: the split and the metric, such as `val_loss`.
        verdict: all of it: intervals, p-values, failures, on the scale that was judged on.
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
        """Number of seeds that both have."""
        return self.verdict.n

    @property
    def p(self) -> float:
        """The p-value, adjusted for all verdicts of the comparison; NaN where there are no values to compare."""
        return self.verdict.p_adjusted

    @property
    def difference(self) -> float:
        """Candidate against reference, negative in favour of the candidate.

        The relative change where losses are compared by their ratio (-0.29 is 29 % lower), else the difference of the
        values; NaN where there are no values to compare.
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
    """The result of a comparison, a sweep, a training, or a report on stored runs.

    Attributes:
        report: all findings, as the writers of every format take them.
        store: where they are kept.
        comparison: id under which `lehi report --comparison` shows it again; empty where the store has no such page.
        failed: whether any run that was trained ended without a result: error, oom, timeout or killed.
    """

    report: Report
    store: Store
    comparison: str = ""
    failed: bool = False

    @property
    def runs(self) -> list[StoredRun]:
        """The runs that are shown, task by task, optimizer by optimizer; not the trials before a comparison."""
        return [run for item in self.report.sections for run in item.section.runs]

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
        """The outcome of the assertions that were passed with the call."""
        return self.report.checks

    def metrics(self) -> pa.Table:
        """Every logged row of every run in one table; `.to_pandas()` makes a data frame of it.

        The columns are those of the parquet files: `run_id`, `task`, `data`, `optimizer`, `label`, `options`, `budget`,
        `lr`, `seed`, `split`, `epoch`, `step`, `samples`, `passes`, `seconds`, `loss`, `lr_now`, and every metric that
        was logged.

        Raises:
            StoreError: when a run is not in the store any more.
        """
        import pyarrow as pa

        from lehi_cli.runs.shards import read_table

        for run in self.runs:
            if not run.folder.is_dir():
                raise StoreError(f"run {run.run_id} is gone from {self.store.root}", "train it again")
        tables = [read_table(run.folder, self.store.notices) for run in self.runs]
        found = [table for table in tables if table is not None]
        return pa.concat_tables(found, promote_options="default") if found else pa.table({})

    def assert_true(self, *assertions: str, allow_diverged: bool = False) -> None:
        """Check that assertions about these runs hold, such as `lehi <= adam*1.05 @ val_loss`; see `lehi_cli.gate`.

        Args:
            assertions: one or more; those of one call are one family.
            allow_diverged: let one be true although its better side loses more runs.

        Raises:
            AssertionFalseError: when one is false; `exit_code` is 3. It is an `AssertionError` too.
            AssertionInconclusiveError: when none is false, and these seeds cannot settle one; `exit_code` is 4.
            UsageError: when one is malformed, or is about what these runs do not have.
        """
        from lehi_cli.render.gate import in_one_line

        if not assertions:
            raise UsageError("no assertion is given", "for example assert_true('lehi < adam @ val_loss')")
        checks = self._check([gate.parse(text) for text in texts(assertions, "assertions")], allow_diverged)
        untrue = [check for check in checks if check.outcome != "true"]
        message = "\n".join(f"{in_one_line(check)}: {check.reason}" for check in untrue)
        outcome = gate.exit_code(checks)
        if outcome == Exit.ASSERT_FALSE:
            raise AssertionFalseError(message)
        if outcome == Exit.ASSERT_INCONCLUSIVE:
            raise AssertionInconclusiveError(message, "more seeds may settle it")

    def _check(self, assertions: Sequence[Assertion], allow_diverged: bool) -> Sequence[Check]:
        """The outcome of assertions; which pairs they look at is remembered."""
        view = self.report.view
        undecided = view.undecided or (TRIALS if view.sweep else "")
        if undecided:
            return [gate.undecided(assertion, undecided) for assertion in assertions]
        checks = gate.check_all(
            assertions,
            [item.section for item in self.report.sections],
            target=view.target,
            looks=view.looks,
            allow_diverged=allow_diverged,
            split=view.decides,
        )
        remember_checks(self.store, self.runs, checks)
        return checks

    def save(self, path: str | PathLike[str], format: str | None = None) -> Path:
        """Write the report to a file, and return its path; a file of that name is replaced.

        Args:
            path: the file; without a format its suffix says which: `.html`, `.md`, `.csv`, `.json`, `.tex`, `.txt`.
            format: `table`, `markdown`, `csv`, `json`, `latex` or `html`.

        Raises:
            UsageError: when the suffix is unknown, or the file cannot be written.
            UnknownNameError: when there is no such format.
        """
        from lehi_cli.render.export import FORMATS, format_of, save

        if format is not None and format not in FORMATS:
            raise UnknownNameError("format", format, FORMATS)
        path = path_of(path, "path")
        save(self.report, path, format or format_of(path))
        return path

    def __str__(self) -> str:
        """The report as a terminal without colour shows it."""
        from lehi_cli.render.export import formatted

        return formatted(self.report, "table").rstrip("\n")

    def __repr__(self) -> str:
        """The answers alone."""
        from lehi_cli.render.report import brief_lines

        count = len(self.runs)
        return "\n".join([f"<lehi result, {count} run{'' if count == 1 else 's'}>", *brief_lines(self.report)])

    def _repr_html_(self) -> str:
        """The report as a page, in a frame of its own so that its style and the notebook's do not mix."""
        from lehi_cli.render.export import formatted

        return FRAME.format(page=escape(formatted(self.report, "html")))
