"""A page that shows a person what prepare found."""

from pathlib import Path
from typing import Any

import pandas as pd

from springfield.pages.template import write_page

TEMPLATE = Path(__file__).with_name("data_page.html.jinja")


def write_data_page(
    index: pd.DataFrame,
    examples: dict[str, list[str]],
    report: dict[str, Any],
    path: Path,
) -> None:
    """Write an HTML page with counts, sizes, samples by class, and what was not used.

    Args:
        index: the table of what is used.
        examples: data URIs of a few pictures of each class.
        report: what prepare reports as JSON.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    counts = index["class"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    classes = [
        {"name": name, "n": n, "pictures": examples[str(name)]} for name, n in counts.items()
    ]
    write_page(
        TEMPLATE,
        path,
        **{"notes": []} | report | {"classes": classes},
        most=classes[0]["n"],
        archives=sorted(set(index["source"].str.split("!").str[0])),
        width=f"{index['width'].min()} to {index['width'].max()}",
        height_range=f"{index['height'].min()} to {index['height'].max()}",
        lists=[
            ("Not a picture", report.get("no_pictures", [])),
            ("Cannot be used", report["refused"]),
            ("The same picture under two classes", report["conflicts"]),
            ("Repeat another picture", report["duplicates"]),
        ],
    )
