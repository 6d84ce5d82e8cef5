"""Go on with a series, with an exported model; needs neither torch nor DVC."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.progress import console
from springfield.series.reading.table import Columns, read_table
from springfield.serving.predict import Opened


class Forecaster:
    """A forecaster that `springfield export` wrote.

    Args:
        opened: the file.

    Raises:
        UserError: it is no forecaster.
    """

    def __init__(self, opened: Opened) -> None:
        self.session, metadata = opened.session, opened.metadata
        try:
            self.columns = Columns(**json.loads(metadata["columns"]))
            self.window: int = json.loads(metadata["window"])
            self.levels: list[float] = json.loads(metadata["levels"])
            self.quantiles: list[float] = json.loads(metadata["quantiles"])
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"{opened.path} is no forecaster of 'springfield export'") from error

    def known(self, path: Path) -> "pd.Series[float]":
        """The series of a CSV by time, its last value the newest.

        Raises:
            UserError: it is no such table, or has not enough of values.
        """
        if not path.is_file():
            raise UserError(f"{path} is no file; name a CSV")
        found = read_table(path.read_bytes(), path.name, self.columns)
        for note in found.notes:
            console.print(terminal(f"{path.name}: {note}"))
        series = found.series[: found.series.last_valid_index()]
        recent = series.iloc[-self.window :]
        if len(recent) < self.window:
            raise UserError(f"{path} has {len(series)} values; a forecast needs {self.window}")
        if (missing := recent.isna()).any():
            raise UserError(
                f"{path} has no value at {recent.index[missing][0]}; a forecast needs it"
            )
        return series

    def forecast(self, known: "pd.Series[float]") -> pd.DataFrame:
        """Quantiles (columns, ascending) of the values that come, by time."""
        given = known.iloc[-self.window :].to_numpy(np.float32)[None]
        found = self.session.run(None, {"values": given})[0][0]
        times = pd.date_range(known.index[-1], periods=len(found) + 1, freq=self.columns.frequency)
        return pd.DataFrame(found, times[1:], self.quantiles)
