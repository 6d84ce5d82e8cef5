"""A page of the most confident mistakes: they are where labels are wrong."""

from pathlib import Path

import jinja2
import pandas as pd

from springfield.store import ImageStore
from springfield.thumbnail import thumbnail

SHOWN, HEIGHT = 100, 160
PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ mistakes }} mistakes in {{ frames }} test frames</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
  body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem }
  figure { margin: 0 }
  img { height: {{ height }}px; max-width: 100%; object-fit: contain; border-radius: 4px }
  code { overflow-wrap: anywhere; font-size: .8em }
</style>
<h1>{{ mistakes }} mistakes in {{ frames }} test frames</h1>
<p>The {{ shown|length }} most confident ones first: either the model is wrong, or the label.
<main>
{% for m in shown %}
<figure><img src="{{ m.picture }}" alt="labelled {{ m.class }}">
<figcaption>labelled <b>{{ m.class }}</b>, predicted <b>{{ m.predicted }}</b>
({{ "%.0f"|format(100 * m.confidence) }} %)<br><code>{{ m.source }}</code></figcaption></figure>
{% endfor %}
</main>
"""
)


def write_mistakes_page(
    predictions: pd.DataFrame, sources: "pd.Series[str]", images: ImageStore, path: Path
) -> None:
    """Write an HTML page with pictures, labels and predictions.

    Args:
        predictions: of test, with columns `id`, `class`, `predicted` and `confidence`.
        sources: where each picture is from, by its id.
        images: the pictures.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    wrong = predictions[predictions["class"] != predictions["predicted"]]
    shown = wrong.sort_values("confidence", ascending=False, kind="stable")[:SHOWN]
    page = PAGE.render(
        frames=len(predictions),
        mistakes=len(wrong),
        height=HEIGHT,
        shown=[
            {**row, "picture": thumbnail(images[row["id"]], HEIGHT), "source": sources[row["id"]]}
            for row in shown.to_dict("records")
        ],
    )
    path.write_text(page, encoding="utf-8")
