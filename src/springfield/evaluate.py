"""Stage evaluate: the honest numbers, on one device, every frame counted once."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springfield.errors import UserError
from springfield.files import atomic, write_json
from springfield.progress import track

if TYPE_CHECKING:
    from springfield.frames import Side
    from springfield.model import Classifier
    from springfield.store import ImageStore

BATCH = 32
BASELINE_SIZE = 24
BINS = 15
SHOWN = 40
"""Test frames in the picture of predictions."""


@dataclass
class EvaluateParams:
    """What is measured beside the network."""

    baseline: bool
    """Also fit a logistic regression on pixels, to tell how much the network adds."""
    sure: float
    """Share of the val frames above the threshold that must be right; below it the model is
    unsure."""

    def __post_init__(self) -> None:
        if not 0 < self.sure <= 1:
            raise UserError(f"evaluate.sure={self.sure} must be above 0 and at most 1")


def evaluate(
    params: EvaluateParams,
    seed: int,
    *,
    checkpoint: Path,
    prepared: Path,
    split: Path,
    metrics: Path,
    calibration: Path,
    report: Path,
    device: str = "cpu",
) -> None:
    """Score the checkpoint on val and test; fit its temperature and its threshold on val.

    Args:
        params: what is measured.
        seed: of the bootstrap.
        checkpoint: the folder that train wrote.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        metrics: JSON file to write: `val`, `test` and, if the data set has one that the split
            leaves out, `official_test`; and the same by class.
        calibration: JSON file to write: `temperature`, and the `threshold` of a (calibrated)
            probability below which the model is unsure.
        report: folder to write, all of test: `predictions.csv`, `mistakes.html`, pictures and
            tables of the confusion matrix, precision and recall, and reliability, and pictures of
            predictions, filters and feature maps.
        device: where the network runs.

    Raises:
        UserError: there is no checkpoint.
    """
    from scipy.special import softmax

    from springfield import metrics as measure
    from springfield.frames import read_split
    from springfield.mistakes_page import write_mistakes_page
    from springfield.model import load_checkpoint
    from springfield.store import ImageStore

    model = load_checkpoint(checkpoint).to(device)
    images = ImageStore(prepared / "images.arrow")
    classes, sides = read_split(prepared, split)
    assert classes == model.architecture.classes
    index = pd.read_csv(prepared / "index.csv", dtype=str, keep_default_na=False).set_index("id")
    groups = pd.read_csv(split, dtype=str).set_index("id")["group"].reindex(index.index)
    groups = groups.fillna(index["sha256"])  # of the official test set: each frame for itself
    measured = [side for side in ("val", "test", "official_test") if side in sides]
    logits = {side: _logits(model, images, sides[side].ids, side) for side in measured}
    labels = {side: sides[side].labels for side in measured}

    temperature = measure.fit_temperature(logits["val"], labels["val"])
    before = {side: softmax(logits[side], axis=1) for side in measured}
    after = {side: softmax(logits[side] / temperature, axis=1) for side in measured}
    predicted = {side: logits[side].argmax(1) for side in measured}
    right = {side: predicted[side] == labels[side] for side in measured}
    threshold = measure.threshold(after["val"].max(1), right["val"], params.sure)

    rng = np.random.default_rng(seed)
    result: dict[str, Any] = {}
    by_class: dict[str, Any] = {}
    for side in track(measured, "Intervals"):
        codes = pd.factorize(groups[sides[side].ids])[0]
        ends = measure.intervals(labels[side], predicted[side], codes, len(classes), rng)
        confidence = after[side].max(1)
        sure = confidence >= threshold
        result[side] = {
            **measure.scores(labels[side], predicted[side]),
            **{
                f"{name}_{end}": float(value)
                for name in ("accuracy", "macro_f1")
                for end, value in zip(("low", "high"), ends[name], strict=True)
            },
            "loss": measure.cross_entropy(logits[side], labels[side]),
            "calibrated_loss": measure.cross_entropy(logits[side], labels[side], temperature),
            "calibration_error": measure.calibration_error(before[side].max(1), right[side]),
            "calibrated_error": measure.calibration_error(confidence, right[side]),
            "sure_share": float(sure.mean()),
            "sure_accuracy": float(right[side][sure].mean()) if sure.any() else 0.0,
        }
        by_class[side] = [
            {
                **row,
                **{
                    f"{name}_{end}": float(ends[name][i][position])
                    for name in ("precision", "recall", "f1")
                    for i, end in enumerate(("low", "high"))
                },
            }
            for position, row in enumerate(
                measure.scores_by_class(labels[side], predicted[side], classes)
            )
        ]
    result["per_class"] = by_class
    if params.baseline:
        result["baseline"] = _baseline(images, sides)

    names = np.array(classes)
    predictions = pd.DataFrame(
        {
            "id": sides["test"].ids,
            "group": groups[sides["test"].ids],
            "class": names[labels["test"]],
            "predicted": names[predicted["test"]],
            "confidence": after["test"].max(1),
        }
    )
    with atomic(report, directory=True) as partial:
        predictions.to_csv(
            partial / "predictions.csv", index=False, lineterminator="\n", float_format="%.5f"
        )
        write_mistakes_page(predictions, index["source"], images, partial / "mistakes.html")
        _plots(labels["test"], before["test"], after["test"], classes, threshold, partial)
        _looks(model, images, predictions, partial)
    write_json(calibration, {"temperature": temperature, "threshold": threshold})
    write_json(metrics, result)


def _plots(
    labels: NDArray[np.int64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    classes: list[str],
    threshold: float,
    folder: Path,
) -> None:
    """Confusion, precision and recall, reliability: pictures, and tables for DVC's plots."""
    from sklearn.metrics import confusion_matrix, precision_recall_curve

    from springfield.plots import confusion_plot, precision_recall_plot, reliability_plot

    confusion = confusion_matrix(labels, after.argmax(1), labels=range(len(classes)))
    confusion_plot(confusion, classes, folder / "confusion.png")

    truth = np.eye(len(classes), dtype=bool)[labels]
    curves = {}
    for name, true, scores in [
        *zip(classes, truth.T, after.T, strict=True),
        ("all", truth.ravel(), after.ravel()),
    ]:
        if true.any():
            precision, recall, _ = precision_recall_curve(true, scores)
            # The curve has a point a frame; a hundred draw the same line.
            kept = len(recall) - 1 - np.searchsorted(recall[::-1], np.linspace(0, 1, 101))
            curves[name] = pd.DataFrame({"recall": recall[kept], "precision": precision[kept]})
    curves["all"].to_csv(
        folder / "precision_recall.csv", index=False, lineterminator="\n", float_format="%.5f"
    )
    precision_recall_plot(curves, "all", folder / "precision_recall.png")

    bins = []
    for calibrated, probabilities in (("no", before), ("yes", after)):
        confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
        for place in np.array_split(np.argsort(confidence, kind="stable"), BINS):
            if len(place):
                row = (calibrated, confidence[place].mean(), right[place].mean(), len(place))
                bins.append(row)
    table = pd.DataFrame(bins, columns=["calibrated", "confidence", "accuracy", "n"])
    table.to_csv(folder / "reliability.csv", index=False, lineterminator="\n", float_format="%.5f")
    reliability_plot(table, threshold, folder / "reliability.png")


def _looks(
    model: "Classifier", images: "ImageStore", predictions: pd.DataFrame, folder: Path
) -> None:
    """Pictures of what the network makes of some test frames, and of what is inside it."""
    from springfield.inside import convolutions, feature_maps_plot, filters_plot
    from springfield.plots import predictions_plot

    places = np.linspace(0, len(predictions) - 1, min(SHOWN, len(predictions))).astype(int)
    shown = predictions.iloc[places]
    pictures = [images[image_id] for image_id in shown["id"]]
    names, predicted = shown["class"].to_list(), shown["predicted"].to_list()
    answers = predictions_plot(pictures, names, predicted, shown["confidence"].to_list())
    figures = {"examples": answers}
    if convolutions(model):
        figures["filters"] = filters_plot(model)
        figures["feature_maps"] = feature_maps_plot(model, pictures[0])
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})


def _logits(
    model: "Classifier", images: "ImageStore", ids: list[str], side: str
) -> NDArray[np.float32]:
    """Logits (N x classes) of frames, each resized by the model itself as in the export."""
    import torch

    device = model.mean.device
    batches = []
    starts = range(0, len(ids), BATCH)
    with torch.inference_mode():
        for start in track(starts, f"Evaluating {side}"):
            arrays = [torch.from_numpy(images[i])[None] for i in ids[start : start + BATCH]]
            pixels = torch.cat([model.resize(array.to(device)) for array in arrays])
            batches.append(model.logits(pixels).float().cpu().numpy())
    logits = np.concatenate(batches)
    assert len(logits) == len(ids)
    return logits


def _baseline(images: "ImageStore", sides: dict[str, "Side"]) -> dict[str, float]:
    """Test scores of a logistic regression on the pixels of small frames."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from springfield import metrics as measure
    from springfield.frames import resize

    pixels = {
        side: np.stack([resize(images[i], BASELINE_SIZE).ravel() for i in sides[side].ids])
        for side in track(("train", "test"), "Logistic regression on pixels")
    }
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=100))
    with warnings.catch_warnings():
        # A hundred steps place the baseline well enough; converging would take minutes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(pixels["train"].astype(np.float32), sides["train"].labels)
    predicted = linear.predict(pixels["test"].astype(np.float32))
    result = measure.scores(sides["test"].labels, predicted)
    return {name: result[name] for name in ("accuracy", "macro_f1")}
