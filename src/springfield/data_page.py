"""A page that shows a person what prepare found."""

from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from springfield.files import atomic
from springfield.store import ImageStore
from springfield.thumbnail import thumbnail

SHOWN, HEIGHT = 8, 72
PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ images }} pictures of {{ classes|length }} classes</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: middle }
  td.n { text-align: right; font-variant-numeric: tabular-nums }
  meter { width: 9rem }
  img { height: {{ height }}px; margin-right: 3px; border-radius: 3px; vertical-align: middle }
  code { overflow-wrap: anywhere }
</style>
<h1>{{ images }} pictures of {{ classes|length }} classes</h1>
<p>From {{ archives|join(", ") }}. Width {{ width }}, height {{ height_range }} pixels.
Of {{ files }} files, {{ images }} are used, {{ duplicates|length }} repeat another one,
{{ refused|length }} cannot be used, {{ unmatched }} are no labelled pictures.</p>
<h2>Classes</h2>
<table>
{% for c in classes %}
<tr><td>{{ c.name }}<td class="n">{{ c.n }}<td><meter max="{{ most }}" value="{{ c.n }}"></meter>
<td>{% for uri in c.pictures %}<img src="{{ uri }}" alt="{{ c.name }}">{% endfor %}

{% endfor %}
</table>
{% for title, entries in lists if entries %}
<h2>{{ title }}</h2>
<table>
{% for entry in entries %}
<tr><td><code>{{ entry.source }}</code><td>{{ entry.reason }}
{% endfor %}
</table>
{% endfor %}
"""
)


def write_data_page(
    index: pd.DataFrame, images: ImageStore, report: dict[str, Any], path: Path
) -> None:
    """Write an HTML page with counts, sizes, samples by class, and what was not used.

    Args:
        index: the table of what is used.
        images: the pictures of the table.
        report: what prepare reports as JSON.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    classes: list[dict[str, Any]] = []
    for name, rows in index.groupby("class"):
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))
        pictures = [thumbnail(images[rows["id"].iloc[position]], HEIGHT) for position in chosen]
        classes.append({"name": name, "n": len(rows), "pictures": pictures})
    classes.sort(key=lambda entry: -entry["n"])
    page = PAGE.render(
        **report | {"classes": classes},
        most=classes[0]["n"],
        archives=sorted(set(index["source"].str.split("!").str[0])),
        width=f"{index['width'].min()} to {index['width'].max()}",
        height_range=f"{index['height'].min()} to {index['height'].max()}",
        height=HEIGHT,
        lists=[
            ("Cannot be used", report["refused"]),
            ("The same picture under two classes", report["conflicts"]),
            ("Repeat another picture", report["duplicates"]),
        ],
    )
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8")
