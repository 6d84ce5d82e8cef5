"""What a model says about itself (Mitchell et al., 2019), in the format that model hubs read."""

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

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
    test, model = description["metrics"]["test"], chosen["model"]
    files, megabytes = description["files"], report["megabytes"]
    card = ModelCard.from_template(
        _front(name, chosen, description["metrics"]),
        str(TEMPLATE),
        **chosen,
        name=name,
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
        pretrained="yes" if model["weights"] else "no",
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


def _range(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.3f} ({scores[f'{name}_low']:.3f} to {scores[f'{name}_high']:.3f})"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
