"""What is made of a finished run: verdicts where a model judges, the table of answers, and the report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.benchmark import Benchmark
from polyglyph.analysis.evaluation.evaluate import Run
from polyglyph.analysis.evaluation.ranking import write_ranks
from polyglyph.analysis.evaluation.table import read_table, write_table
from polyglyph.clients.errors import UnwritableFileError

if TYPE_CHECKING:
    from polyglyph.analysis.evaluation.judging import Judge

TABLE_NAME = "results.md"


def finish(run: Run, benchmark: Benchmark, folder: Path, *, judge: "Judge | None" = None) -> dict[str, Any]:
    """Write `answers.parquet`, `results.json` and `results.md`; gives the results.

    Args:
        run: Finished.
        benchmark: What was asked.
        folder: Of the run.
        judge: Judges what the benchmark's scorer leaves to a model; its verdicts are kept in `verdicts.jsonl`.

    Raises:
        PolyglyphError: The judge does not answer, or a file cannot be written.
    """
    from polyglyph.analysis.evaluation.report import write_report

    table = read_table(folder, run.items, run.arms)
    write_table(table, folder)
    verdicts = judge.verdicts(table, folder) if judge else None
    write_ranks(folder)
    try:
        return write_report(folder, benchmark, run.record.to_json(), table, verdicts=verdicts)
    except OSError as error:
        raise UnwritableFileError(f"{folder}: the report cannot be written: {error.strerror or error}") from error
