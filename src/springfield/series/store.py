"""A prepared series in an Arrow file."""

from pathlib import Path

import pandas as pd
import pyarrow as pa


def write_series(path: Path, series: pd.DataFrame) -> None:
    """Write a table of `value` and `filled` by time."""
    table = pa.Table.from_pandas(series.rename_axis("time").reset_index(), preserve_index=False)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_series(path: Path) -> pd.DataFrame:
    """The table of `write_series`."""
    with pa.OSFile(str(path), "rb") as source:
        table: pd.DataFrame = pa.ipc.open_file(source).read_all().to_pandas()
    return table.set_index("time")
