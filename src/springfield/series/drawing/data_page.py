"""A page that shows a person what prepare found."""

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from springfield.pages.template import write_page
from springfield.series.drawing.plots import series_plot

if TYPE_CHECKING:
    from springfield.series.reading.table import Columns

TEMPLATE = Path(__file__).with_name("data_page.html.jinja")


def write_data_page(
    series: pd.DataFrame, columns: "Columns", report: dict[str, Any], path: Path
) -> None:
    """Write an HTML page with the series, its season and its holes.

    Args:
        series: `value` and `filled` by time.
        columns: what the file holds.
        report: what prepare reports as JSON.
        path: file to write.
    """
    content = BytesIO()
    figure = series_plot(series, columns.value, columns.season)
    figure.savefig(content, format="png", metadata={"Software": None})
    picture = base64.b64encode(content.getvalue()).decode()
    write_page(
        TEMPLATE, path, **report, columns=columns, picture=f"data:image/png;base64,{picture}"
    )
