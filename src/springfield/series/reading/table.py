"""A CSV of times and values, as a regular series and what was wrong with it."""

import csv
import io
import warnings
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from springfield.machine.errors import UserError

SEPARATORS = ",;\t|"
ENCODINGS = ("utf-8-sig", "utf-16", "cp1252")
"""Tried in this order; UTF-16 only where its mark is there."""
MARKS = (b"\xff\xfe", b"\xfe\xff")
NOTHING = {"", "-", "na", "n/a", "nan", "null", "none", "?", "missing"}
"""What people write where there is no value."""
CLOCK = r"(?:T\d\d|:\d\d(?:[.,]\d+)?) ?(Z|[+-]\d\d(?::?\d\d)?)$"
"""The zone behind a time of day, by ISO 8601."""
ZONE = r".*(Z|[+-]\d\d:?\d\d)"
"""As `%z` of `strptime` reads it, the last in a text."""


@dataclass
class Columns:
    """What a CSV holds, and how it is forecast."""

    time: Annotated[str, Field(min_length=1)]
    """The column of times."""
    value: Annotated[str, Field(min_length=1)]
    """The column that is forecast."""
    frequency: Annotated[str, Field(min_length=1)]
    """From one time to the next, as pandas names it: `h`, `D`, `MS` (the first of each month)."""
    season: Annotated[int, Field(ge=2, le=10_000)]
    """Steps after which it repeats: 24 of hours, 12 of months."""
    horizon: PositiveInt
    """Steps that are forecast."""
    time_format: Annotated[str, Field(min_length=1)] | None = None
    """As of `strptime`, such as `%d.%m.%Y`; none: ISO 8601."""


@dataclass
class Read:
    """A regular series, and what was wrong with its file."""

    series: "pd.Series[float]"
    """By time; NaN where there is no value."""
    lines: int
    """Of values in the file."""
    refused: list[dict[str, str]] = field(default_factory=list)
    """Lines that could not be used, each with its `source` and its `reason`."""
    notes: list[str] = field(default_factory=list)
    """What was done about the rest."""


def read_table(content: bytes, name: str, columns: Columns) -> Read:
    """Read a CSV: any usual separator and encoding, decimal points or commas.

    Args:
        content: of the file.
        name: of the file, for messages.
        columns: what it holds.

    Raises:
        UserError: it is no such table.
    """
    table, separator = _table(content, name)
    for column in (columns.time, columns.value):
        if column not in table:
            raise UserError(
                f"{name} has no column '{column}' (data.layout); it has: {', '.join(table.columns)}"
            )
    source = name + ", line " + table.index.to_series().astype(str)
    found = Read(pd.Series(dtype=float), len(table))
    times = _times(table[columns.time].str.strip(), columns, source, found)
    values = _values(table[columns.value].str.strip(), separator, source, found)
    rows = pd.DataFrame({"time": times, "value": values, "source": source})
    rows = rows[rows["time"].notna()]
    if not len(rows):
        raise UserError(
            f"{name}: no line has a time that can be read; "
            f"the first is '{table[columns.time].iloc[0]}'; say how they are written in "
            "data.layout.time_format"
        )
    _sort(rows, found)
    rows = _once(rows.sort_values("time", kind="stable"), found)
    found.series = _regular(rows, columns.frequency, name, found)
    return found


def _table(content: bytes, name: str) -> tuple[pd.DataFrame, str]:
    """All cells as text, by the number of their line, and what separates them."""
    if not content.strip():
        raise UserError(f"{name} is empty")
    if b"\0" in content and not content.startswith(MARKS):
        raise UserError(f"{name} is no text; export it as CSV")
    for encoding in ENCODINGS:
        if (encoding == "utf-16") != content.startswith(MARKS):
            continue
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise UserError(f"{name} is no text in UTF-8; export it as CSV in UTF-8")
    blank, head = next((n, line) for n, line in enumerate(text.splitlines()) if line.strip())
    separator = max(SEPARATORS, key=head.count)
    if separator not in head:
        raise UserError(
            f"{name} has one column only, '{head.strip()[:60]}'; it needs one of times and one of "
            "values, separated by a comma, a semicolon, a tab or a |"
        )
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False,
            skipinitialspace=True, quoting=csv.QUOTE_MINIMAL,
            skiprows=blank, skip_blank_lines=False,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise UserError(f"{name}: {' '.join(str(error).split())}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{name}: its lines have more cells than its head has names")
    table.index += blank + 2
    table.columns = table.columns.str.strip()
    table = table.fillna("")
    table = table[(table != "").any(axis=1)]
    if not len(table):
        raise UserError(f"{name} has a head and no values")
    return table, separator


def _times(
    texts: "pd.Series[str]", columns: Columns, source: "pd.Series[str]", found: Read
) -> "pd.Series[pd.Timestamp]":
    """Times without a zone; NaT where a line has none that can be read."""
    form = columns.time_format
    try:
        times = pd.to_datetime(texts, format=form or "ISO8601", errors="coerce", utc=True)
    except ValueError as error:
        raise UserError(f"data.layout.time_format={form}: {error}") from error
    offsets = texts.str.extract(ZONE if form else CLOCK)[0].where(times.notna())
    if offsets.notna().any() and (not form or "%z" in form):
        if (plain := offsets.isna() & times.notna()).any():
            raise UserError(
                f"{source[plain].iloc[0]}: a time without a zone, where others have one; give all "
                "of them one"
            )
        if (zones := sorted(set(offsets.dropna()))) != ["Z"]:
            shown = ", ".join(zones[:3])
            found.notes.append(f"times have the zones {shown}: they are told in UTC")
    for place in np.flatnonzero(times.isna()):
        reason = f"no time: '{texts.iloc[place]}'"
        found.refused.append({"source": source.iloc[place], "reason": reason})
    return times.dt.tz_localize(None)


def _values(
    texts: "pd.Series[str]", separator: str, source: "pd.Series[str]", found: Read
) -> "pd.Series[float]":
    """Numbers; NaN where there is none."""
    commas = texts.str.fullmatch(r"-?[\d.\s]*\d,\d+")
    points = texts.str.fullmatch(r"-?[\d,\s]*\d\.\d+")
    plain = texts
    if separator != "," and commas.any() and not points.any():
        found.notes.append("values have decimal commas")
        plain = texts.str.replace(r"[.\s]", "", regex=True).str.replace(",", ".")
    values = pd.to_numeric(plain, errors="coerce").replace([np.inf, -np.inf], np.nan)
    bad = values.isna() & ~texts.str.lower().isin(NOTHING)
    for place in np.flatnonzero(bad):
        reason = f"no number: '{texts.iloc[place]}'"
        found.refused.append({"source": source.iloc[place], "reason": reason})
    return values.astype(float)


def _sort(rows: pd.DataFrame, found: Read) -> None:
    back = int((rows["time"].diff() < pd.Timedelta(0)).sum())
    if back:
        found.notes.append(f"times go back {back} times: lines were sorted")


def _once(rows: pd.DataFrame, found: Read) -> pd.DataFrame:
    """One line of each time; of those that contradict each other none."""
    again = rows.duplicated("time", keep=False)
    if not again.any():
        return rows
    different = rows[again].groupby("time")["value"].nunique(dropna=True)
    torn = set(different[different > 1].index)
    found.notes.append(
        f"{int(rows.duplicated('time').sum())} lines repeat a time"
        + (f"; of {len(torn)} times the values differ, and count as missing" if torn else "")
    )
    rows = rows.sort_values(["time", "value"], kind="stable").drop_duplicates("time")
    rows.loc[rows["time"].isin(torn), "value"] = np.nan
    return rows


def _regular(rows: pd.DataFrame, frequency: str, name: str, found: Read) -> "pd.Series[float]":
    """Values at every time from the first to the last; NaN where the file has none."""
    first, last = rows["time"].iloc[0], rows["time"].iloc[-1]
    try:
        step = pd.tseries.frequencies.to_offset(frequency)
        hundred = first + 100 * step - first  # more of a long step would leave the calendar
        if pd.Timedelta(0) < hundred < pd.Timedelta(seconds=100):
            raise UserError("data.layout.frequency: no step is shorter than a second, s")
        if (last - first) / hundred > 10_000:
            raise UserError(f"{name}: more than a million steps of data.layout.frequency")
        grid = pd.date_range(first, last, freq=frequency)
    except (ValueError, ArithmeticError) as error:
        raise UserError(
            f"data.layout.frequency: pandas knows no '{frequency}'; such as h, D, W, MS"
        ) from error
    beside = ~rows["time"].isin(grid)
    if beside.mean() > 0.5:
        raise UserError(
            f"{name}: most times are not at data.layout.frequency={frequency}, such as "
            f"{rows.loc[beside, 'time'].iloc[0]}{likely(pd.DatetimeIndex(rows['time']))}"
        )
    for source, time in zip(rows.loc[beside, "source"], rows.loc[beside, "time"], strict=True):
        found.refused.append({"source": source, "reason": f"not at a regular time: {time}"})
    return rows.set_index("time")["value"].reindex(grid)


def likely(times: pd.DatetimeIndex) -> str:
    """What the frequency of times may be, for a message; nothing if they have none."""
    if len(times) < 3:
        return ""
    with warnings.catch_warnings(action="ignore"):  # it will be an offset in pandas 4
        guess = pd.infer_freq(times)
    return f"; their frequency looks like {getattr(guess, 'freqstr', guess)}" if guess else ""
