"""What a model says about itself (Mitchell et al., 2019), in the format that model hubs read."""

from typing import Any

import jinja2

MARKDOWN = jinja2.Environment(  # noqa: S701 - no HTML
    trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
)
CARD = MARKDOWN.from_string(
    """---
{{ front }}
---

# {{ name }}

Names which of {{ classes|length }} classes a picture shows: `{{ model.backbone }}` at
{{ model.input_size }} pixels, trained by Springfield.

Data: {{ data.about.title }}
{%- if data.about.url %}, <{{ data.about.url }}>{% endif %}
; licence `{{ data.about.license }}`.

## How good it is

{{ sides }}

In brackets: 95 % intervals, from a bootstrap of whole shots. The split is `{{ split.strategy }}`.
{% if split.strategy == "random" %}
Frames of one shot are on both sides of it, which flatters all of these figures.
{% endif %}
{% if baseline %}
A logistic regression on pixels has an accuracy of {{ baseline }} on test.
{% endif %}

Below a probability of {{ threshold }} it is unsure, and clients say so. {{ sure_share }} of the
test frames are above it; {{ sure_accuracy }} of those are right.

{{ by_class }}

## What it is not for

- It knows these classes and no other: it gives one of them to any picture, whatever that shows.
  Heed the threshold.
- Its figures hold for pictures like those that it was tested on, not for another style.
- Of classes with few frames it is not known how well it tells them: see their intervals.
- It must not be used to identify or to judge people.
{% if "-nc" in data.about.license %}
- The licence of the data excludes commercial use.
{% endif %}

## How it was trained

On {{ frames.train }} frames; {{ frames.val }} others chose the epoch, the temperature and the
threshold, and {{ frames.test }} are the test. Pretrained: {{ pretrained }}.

{{ training }}

Made from the data `{{ made_from.data[:12] }}`, the params `{{ made_from.params[:12] }}` and the
code `{{ made_from.code[:12] }}`, in the MLflow run `{{ run_id }}`.

## How to use it

```python
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("springfield.onnx")
picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
probabilities = session.run(None, {"image": np.asarray(picture)[None]})[0][0]
```

Pixels go in as they are: resizing, normalisation, temperature and softmax are inside. The classes
are in the file's metadata. With Springfield installed: `springfield predict picture.jpg`.

{{ exported }}
"""
)


def model_card(
    chosen: dict[str, Any],
    description: dict[str, Any],
    scores: dict[str, Any],
    report: dict[str, Any],
    frames: dict[str, int],
) -> str:
    """The card, as Markdown.

    Args:
        chosen: the params that it was made with.
        description: the content of `model.json`.
        scores: the content of `metrics.json`.
        report: the content of `export.json`.
        frames: how many there are on each side of the split.
    """
    name = f"springfield-{chosen['data']['name']}"
    test, model = description["metrics"]["test"], chosen["model"]
    files, megabytes = description["files"], report["megabytes"]
    return CARD.render(
        **chosen,
        name=name,
        front=_front(name, chosen, description["metrics"]),
        classes=description["classes"],
        sides=_table(
            ["side", "frames", "accuracy", "macro-F1", "calibration error"],
            [
                [side, s["n"], *(_range(s, m) for m in ("accuracy", "macro_f1")),
                 f"{s['calibrated_error']:.3f}"]
                for side, s in description["metrics"].items()
            ],
        ),
        baseline=f"{scores['baseline']['accuracy']:.3f}" if "baseline" in scores else "",
        threshold=f"{description['threshold']:.3f}",
        sure_share=f"{test['sure_share']:.1%}",
        sure_accuracy=f"{test['sure_accuracy']:.1%}",
        by_class=_table(
            ["class", "test frames", "precision", "recall", "F1"],
            [
                [c["class"], c["n"], *(_range(c, m) for m in ("precision", "recall", "f1"))]
                for c in scores["per_class"]["test"]
            ],
        ),
        frames=frames,
        pretrained="yes" if model["weights"] or model["pretrained"] else "no",
        training=_table(
            ["param", "value"],
            [
                [f"`{group}.{key}`", value]
                for group in ("optimizer", "train")
                for key, value in chosen[group].items()
            ],
        ),
        made_from=description["made_from"],
        run_id=description["run_id"],
        exported=_table(
            ["file", "MB", "accuracy on test", "SHA-256"],
            [
                [file, megabytes[kind], f"{report['accuracy'][measured]:.4f}", f"`{files[file]}`"]
                for file, kind, measured in (
                    ("springfield.onnx", "fp32", "checkpoint"),
                    ("springfield.int8.onnx", "int8", "int8"),
                )
            ],
        ),
    )  # fmt: skip


def _front(name: str, chosen: dict[str, Any], metrics: dict[str, Any]) -> str:
    """What a hub reads before the text, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    data = chosen["data"]
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=data["name"],
            dataset_name=data["about"]["title"],
            dataset_split=side,
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for side, found in metrics.items()
        for metric, value in (("accuracy", found["accuracy"]), ("f1", found["macro_f1"]))
    ]
    return str(
        ModelCardData(
            model_name=name,
            license=data["about"]["license"],
            library_name="onnx",
            pipeline_tag="image-classification",
            tags=["springfield", chosen["model"]["backbone"]],
            eval_results=results,
        ).to_yaml()
    )


def _range(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.3f} ({scores[f'{name}_low']:.3f} to {scores[f'{name}_high']:.3f})"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
