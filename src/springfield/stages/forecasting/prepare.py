"""Stage prepare: a regular series out of a CSV, once, so that nothing later has to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field
from rich.markup import escape

from springfield.files import atomic, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console

if TYPE_CHECKING:
    from springfield.series.reading.table import Columns, Read
    from springfield.stages.forecasting.params import ForecastingParams

NEEDS = ("data.layout", "prepare")


@dataclass
class PrepareParams:
    """What of a series may be missing."""

    max_refused: Annotated[float, Field(ge=0, le=1)]
    """The share of unusable lines past which the stage fails."""
    max_filled: Annotated[float, Field(ge=0, le=1)]
    """The share of missing values past which it fails; fewer are filled."""


def run(params: "ForecastingParams", paths: Paths, machine: Machine) -> None:
    """Write the series at regular times, and an index of them.

    Writes also what was not used and why: a report, and a page that shows the series.

    Raises:
        UserError: no file or several, no such table, too much of it missing.
    """
    from springfield.series.drawing.data_page import write_data_page
    from springfield.series.reading.table import read_table
    from springfield.series.store import write_series

    files = sorted(path for path in paths.raw.glob("*") if path.suffix != ".json")
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "nothing"
        raise UserError(f"{paths.raw} should hold one CSV file; it has {names}")
    found = read_table(files[0].read_bytes(), files[0].name, params.data.layout)
    series = _filled(found, params.prepare, params.data.layout, files[0].name)
    report = _report(found, series)
    times = pd.DatetimeIndex(series.index).strftime("%Y-%m-%dT%H:%M:%S").to_series()
    index = pd.DataFrame(
        {"id": times, "source": files[0].name, "official_split": "", "time": times}
    )
    with atomic(paths.series.parent, directory=True) as partial:
        write_series(partial / paths.series.name, series)
        index.to_csv(partial / paths.index.name, index=False, lineterminator="\n")
        write_data_page(series, params.data.layout, report, paths.data_page)
        write_json(paths.data_report, report)
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}[/]")


def _filled(found: "Read", allowed: PrepareParams, columns: "Columns", name: str) -> pd.DataFrame:
    """The series without holes, and where they were.

    A missing value is the last one before it: one between its neighbours would tell of what comes.
    Where the file ends (or begins) without values, there is no series.

    Raises:
        UserError: too much of it is missing, it never changes, or it is too short.
    """
    from springfield.series.reading.table import likely

    series, refused = found.series, found.refused
    if len(refused) > allowed.max_refused * found.lines:
        raise UserError(
            f"{len(refused)} of {found.lines} lines cannot be used, more than prepare.max_refused="
            f"{allowed.max_refused} allows; the first: {refused[0]['source']}: "
            f"{refused[0]['reason']}"
        )
    if series.isna().all():
        raise UserError(f"{name}: the column '{columns.value}' has no numbers")
    ends = len(series)
    series = series[series.first_valid_index() : series.last_valid_index()]
    if ends := ends - len(series):
        found.notes.append(f"the first or last {ends} times have no value and are left out")
    missing = series.isna()
    if missing.mean() > allowed.max_filled:
        raise UserError(
            f"{int(missing.sum())} of {len(series)} values are missing, more than "
            f"prepare.max_filled={allowed.max_filled} allows; the first: {series.index[missing][0]}"
            f"{likely(pd.DatetimeIndex(series.index[~missing]))}"
        )
    if missing.any():
        found.notes.append(
            f"{int(missing.sum())} missing values are filled with the one before, the first at "
            f"{series.index[missing][0]}"
        )
    filled = series.ffill()
    if filled.nunique() < 2:
        raise UserError(f"{name}: '{columns.value}' is {filled.iloc[0]} at all times")
    needed = 2 * columns.season + columns.horizon
    if len(filled) < needed:
        raise UserError(
            f"{name} has {len(filled)} values; two seasons of {columns.season} and a horizon of "
            f"{columns.horizon} need {needed}"
        )
    return pd.DataFrame({"value": filled.astype("float32"), "filled": missing})


def _report(found: "Read", series: pd.DataFrame) -> dict[str, Any]:
    value = series["value"]
    return {
        "lines": found.lines,
        "values": len(series),
        "filled": int(series["filled"].sum()),
        "first": str(series.index[0]),
        "last": str(series.index[-1]),
        "mean": round(float(value.mean()), 6),
        "lowest": round(float(value.min()), 6),
        "highest": round(float(value.max()), 6),
        "refused": found.refused,
        "notes": found.notes,
    }
