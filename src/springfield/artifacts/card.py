"""What a model says about itself (Mitchell et al., 2019), in the format that model hubs read."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from springfield.artifacts.text import markdown

TEMPLATE = Path(__file__).with_name("card.md.jinja")


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
    card = ModelCard.from_template(
        _front(name, chosen, description["metrics"]),
        str(TEMPLATE),
        **chosen,
        name=name,
        markdown=markdown,
        described=description,
        scores=scores,
        report=report,
        frames=frames,
    )
    return f"{card}\n"


def _front(name: str, chosen: dict[str, Any], metrics: dict[str, Any]) -> ModelCardData:
    """What a hub reads before the text."""
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
    return ModelCardData(
        model_name=name,
        license=data["about"]["license"],
        library_name="onnx",
        pipeline_tag="image-classification",
        tags=["springfield", chosen["model"]["backbone"]],
        eval_results=results,
    )
