"""What a model says about itself (Mitchell et al., 2019), in the format that model hubs read."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from springfield.artifacts.text import markdown


def model_card(
    template: Path,
    task_type: str,
    metrics: dict[str, str],
    chosen: dict[str, Any],
    description: dict[str, Any],
    scores: dict[str, Any],
    report: dict[str, Any],
    frames: dict[str, int],
) -> str:
    """The card, as Markdown.

    Args:
        template: of its text.
        task_type: as model hubs name it.
        metrics: scores that they list, by the names that they have for them.
        chosen: the params that it was made with.
        description: the content of `model.json`.
        scores: the content of `metrics.json`.
        report: the content of `export.json`.
        frames: how many there are on each side of the split.
    """
    name = f"springfield-{chosen['data']['name']}"
    card = ModelCard.from_template(
        _front(name, task_type, metrics, chosen, description["metrics"]),
        str(template),
        **chosen,
        name=name,
        markdown=markdown,
        described=description,
        scores=scores,
        report=report,
        frames=frames,
    )
    return f"{card}\n"


def _front(
    name: str,
    task_type: str,
    metrics: dict[str, str],
    chosen: dict[str, Any],
    scores: dict[str, Any],
) -> ModelCardData:
    """What a hub reads before the text."""
    data = chosen["data"]
    results = [
        EvalResult(
            task_type=task_type,
            dataset_type=data["name"],
            dataset_name=data["about"]["title"],
            dataset_split=side,
            metric_type=metric,
            metric_value=round(found[score], 4),
        )
        for side, found in scores.items()
        for metric, score in metrics.items()
        if found[score] is not None  # as that of a class without frames
    ]
    return ModelCardData(
        model_name=name,
        license=data["about"]["license"],
        library_name="onnx",
        pipeline_tag=task_type,
        tags=["springfield", chosen["model"]["backbone"]],
        eval_results=results,
    )
