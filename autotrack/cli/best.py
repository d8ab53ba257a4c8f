"""``autotrack best``."""

from __future__ import annotations

import math
import re

import click

import autotrack
from autotrack.cli.options import as_json, emit, json_option, parent_option, print_table, store_option
from autotrack.columns import usual_columns
from autotrack.display import printable, runs_table

__all__ = ["best"]

_LOWER_IS_BETTER = re.compile(r"^(?!.*neg_).*(loss|error|err|mse|mae|mape|perplexity|deviance)(?![a-z])")


@click.command()
@click.argument("metric")
@click.argument("filter", required=False)
@click.option("--min/--max", "lowest", default=None, help="Whether the lowest or the highest value is best.")
@click.option("--experiment", "-e", help="Only runs of this experiment.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=5, show_default=True, help="At most so many.")
@parent_option
@store_option
@json_option
def best(
    metric: str,
    filter: str | None,  # noqa: A002
    lowest: bool | None,
    experiment: str | None,
    limit: int,
    parent: str | None,
    store: str | None,
    to_json: bool,
) -> None:
    """List the runs with the best METRIC, by its last value; those that meet FILTER.

    Unless told, the lowest is best where the metric's name says loss, error, mse, mae and the like.
    """
    runs = autotrack.runs(filter, experiment, parent=parent, store=store)
    scored = [run for run in runs if not math.isnan(run.metrics.get(metric, math.nan))]
    if not scored:
        known = sorted({key for run in runs for key in run.metrics}, key=lambda key: (not key.startswith(metric), key))
        raise autotrack.RunNotFound(
            f"no run has a value of {metric!r}; there are: {', '.join(known[:20]) or 'no metrics'}"
        )
    if lowest is None:
        lowest = _LOWER_IS_BETTER.search(metric.lower()) is not None
    shown = sorted(scored, key=lambda run: run.metrics[metric], reverse=not lowest)[:limit]
    if to_json:
        emit([as_json(run) for run in shown])
        return
    print_table(lambda width: runs_table(shown, width, usual_columns(shown, width, metric)))
    said = "lowest" if lowest else "highest"
    click.echo(
        f"The {said} {printable(metric)} of {len(scored):,} runs; all about the best: "
        f"autotrack show {shown[0].id.partition('-')[2]}",
        err=True,
    )
