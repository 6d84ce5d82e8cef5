"""Stage evaluate: the honest numbers, on one device, every frame counted once."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from springfield.files import atomic, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.images.dataset import Side
    from springfield.images.store import ImageStore
    from springfield.stages.classification.network import Classifier
    from springfield.stages.classification.params import ClassificationParams as Params

NEEDS = ("seed", "evaluate")
SIDES = ("val", "test", "official_test")
BATCH = 32
BASELINE_SIZE = 24
SHOWN = 40
"""Test frames in the picture of predictions."""
MISTAKES, HEIGHT = 100, 160
"""Shown on the page, and their height in pixels."""


@dataclass
class EvaluateParams:
    """What is measured beside the network."""

    baseline: bool
    """Also fit a logistic regression on pixels, to tell how much the network adds."""
    flips: bool
    """Also score the mean of the probabilities of a test frame and of its mirror image."""
    sure: Annotated[float, Field(gt=0, le=1)]
    """Share of the answers above the threshold that is promised to be right; below it the model is
    unsure."""


@dataclass(frozen=True)
class Answers:
    """What the network says of the frames of a side."""

    ids: list[str]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    """Frames of a shot have the same number."""
    logits: NDArray[np.float32]
    before: NDArray[np.float64]
    """Probabilities (N x classes) before calibration."""
    after: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each frame."""
        return np.asarray(self.logits.argmax(1))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether that is the label."""
        return np.asarray(self.predicted == self.labels)


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Score the checkpoint on val and test; fit its temperature and its threshold on val.

    Writes: the scores of val, test and, if the data set has one that the split leaves out,
    `official_test`, and the same by class (`test_flips` beside them is of two looks at a frame);
    `temperature`, the `threshold` of a (calibrated) probability below which the model is unsure,
    and whether it is `promised` that the share `sure` of the others is right; and pictures and
    tables, all of test but the training's curves.

    Raises:
        UserError: there is no checkpoint, or it gives no numbers.
    """
    from springfield.images.dataset import read_split
    from springfield.images.drawing.lettering import lettering
    from springfield.images.drawing.plots import write_csv
    from springfield.images.store import ImageStore
    from springfield.learning.curves import curves_plot
    from springfield.scoring import calibration
    from springfield.stages.classification.network import load_checkpoint
    from springfield.stages.classification.plots import write_plots

    model = load_checkpoint(paths.checkpoint).to(machine.hardware.device)
    images = ImageStore(paths.images)
    classes, sides = read_split(paths.index, paths.split)
    if classes != model.architecture.classes:
        raise UserError(
            "the checkpoint knows other classes than the data; 'springfield train' or 'dvc repro' "
            "makes one for them"
        )
    index = pd.read_csv(paths.index, dtype=str, keep_default_na=False).set_index("id")
    groups = pd.read_csv(paths.split, dtype=str).set_index("id")["group"].reindex(index.index)
    groups = groups.fillna(index["sha256"])  # of the official test set: each frame for itself
    logits = {s: _logits(model, images, sides[s].ids, s) for s in SIDES if s in sides}
    temperature = calibration.fit_temperature(logits["val"], sides["val"].labels)
    answers = {s: _answers(sides[s], groups, logits[s], temperature) for s in logits}
    val, test = answers["val"], answers["test"]
    threshold, promised = calibration.threshold(
        val.after.max(1), val.right, val.groups, params.evaluate.sure
    )
    if not promised:
        console.print(
            f"the {len(val.ids)} val frames, of {len(set(val.groups))} shots, cannot promise that "
            f"{params.evaluate.sure:.1%} of the answers above the threshold will be right",
            highlight=False,
        )

    result = _result(answers, classes, temperature, threshold, np.random.default_rng(params.seed))
    if params.evaluate.flips:
        mirrored = _logits(model, images, test.ids, "test, mirrored", mirrored=True)
        result["test_flips"] = _mean_scores(test, mirrored, temperature)
    if params.evaluate.baseline:
        result["baseline"] = _baseline(images, sides)
    with atomic(paths.evaluation, directory=True) as partial, lettering(classes):
        predictions = _predictions(test, classes, groups)
        write_csv(predictions, partial / "predictions.csv")
        _mistakes_page(predictions, index, images, partial / "mistakes.html")
        write_plots(test.labels, test.before, test.after, classes, threshold, partial)
        _looks(model, images, predictions, partial)
        curves_plot(paths.training, partial / "curves.png")
    calibrated = {"temperature": temperature, "threshold": threshold}
    promise = {"sure": params.evaluate.sure, "promised": promised}
    write_json(paths.calibration, calibrated | promise)
    write_json(paths.metrics, result)


def _answers(
    side: "Side", groups: "pd.Series[str]", logits: NDArray[np.float32], temperature: float
) -> Answers:
    from scipy.special import softmax

    codes = pd.factorize(groups[side.ids])[0]
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    return Answers(side.ids, side.labels, codes, logits, before, after)


def _result(
    answers: dict[str, Answers],
    classes: list[str],
    temperature: float,
    threshold: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What `metrics.json` holds of each side, and of each class of it."""
    from springfield.stages.classification import scores

    result: dict[str, Any] = {}
    by_class: dict[str, Any] = {}
    for side, a in answers.items():
        result[side] = {
            **scores.scores(a.labels, a.predicted),
            **scores.intervals(a.labels, a.predicted, a.groups),
            **_confidence(a, temperature, threshold, rng),
        }
        by_class[side] = scores.scores_by_class(a.labels, a.predicted, a.groups, classes)
    primary = {"name": "accuracy", "higher": True}
    return {**result, "per_class": by_class, "primary": primary}


def _mean_scores(
    answers: Answers, mirrored: NDArray[np.float32], temperature: float
) -> dict[str, Any]:
    """The scores of the mean of two probabilities of each frame."""
    from scipy.special import softmax

    from springfield.stages.classification import scores

    predicted = (answers.after + softmax(mirrored / temperature, axis=1)).argmax(1)
    of_both = answers.labels, predicted
    return {**scores.scores(*of_both), **scores.intervals(*of_both, answers.groups)}


def _confidence(
    answers: Answers, temperature: float, threshold: float, rng: np.random.Generator
) -> dict[str, float | None]:
    """How far the probabilities can be believed."""
    from springfield.scoring.calibration import calibration_error, cross_entropy, perfect_errors

    confidence = answers.after.max(1)
    perfect = perfect_errors(confidence, answers.groups, rng)
    sure = confidence >= threshold
    return {
        "loss": cross_entropy(answers.logits, answers.labels),
        "calibrated_loss": cross_entropy(answers.logits, answers.labels, temperature),
        "calibration_error": calibration_error(answers.before.max(1), answers.right),
        "calibrated_error": calibration_error(confidence, answers.right),
        "perfect_error": float(perfect.mean()),
        "perfect_error_high": float(np.quantile(perfect, 0.95)),
        "sure_share": float(sure.mean()),
        "sure_accuracy": float(answers.right[sure].mean()) if sure.any() else None,
    }


def _predictions(test: Answers, classes: list[str], groups: "pd.Series[str]") -> pd.DataFrame:
    names = np.array(classes)
    return pd.DataFrame(
        {
            "id": test.ids,
            "group": groups[test.ids].to_list(),
            "score": test.right.astype(int),
            "class": names[test.labels],
            "predicted": names[test.predicted],
            "confidence": test.after.max(1),
        }
    )


def _mistakes_page(
    predictions: pd.DataFrame, index: pd.DataFrame, images: "ImageStore", path: Path
) -> None:
    from springfield.images.drawing.mistakes_page import write_mistakes_page
    from springfield.images.drawing.thumbnail import thumbnail

    wrong = predictions[predictions["class"] != predictions["predicted"]]
    rows = wrong.sort_values("confidence", ascending=False, kind="stable")[:MISTAKES]
    shown = [
        {**row, "picture": thumbnail(images[row["id"]], HEIGHT)}
        for row in rows.join(index[["source", "sha256"]], on="id").to_dict("records")
    ]
    write_mistakes_page(shown, len(wrong), len(predictions), path)


def _looks(
    model: "Classifier", images: "ImageStore", predictions: pd.DataFrame, folder: Path
) -> None:
    """Pictures of what the network makes of some test frames, and of what is inside it."""
    from springfield.stages.classification import inside
    from springfield.stages.classification.plots import predictions_plot

    places = np.linspace(0, len(predictions) - 1, min(SHOWN, len(predictions))).astype(int)
    shown = predictions.iloc[places]
    pictures = [images[image_id] for image_id in shown["id"]]
    figures = {"examples": predictions_plot(pictures, shown)}
    if inside.convolutions(model):
        figures["filters"] = inside.filters_plot(model)
        figures["feature_maps"] = inside.feature_maps_plot(model, pictures[0])
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})


def _logits(
    model: "Classifier", images: "ImageStore", ids: list[str], side: str, *, mirrored: bool = False
) -> NDArray[np.float32]:
    """Logits (N x classes) of frames, each resized by the model itself as in the export.

    Raises:
        UserError: some are no numbers, which no score would tell.
    """
    import torch

    device = model.mean.device
    batches = []
    starts = range(0, len(ids), BATCH)
    with torch.inference_mode():
        for start in track(starts, f"Evaluating {side}"):
            arrays = [torch.from_numpy(images[i])[None] for i in ids[start : start + BATCH]]
            pixels = torch.cat([model.resize(array.to(device)) for array in arrays])
            if mirrored:
                pixels = pixels.flip(-1)
            batches.append(model.logits(pixels).float().cpu().numpy())
    logits = np.concatenate(batches)
    assert len(logits) == len(ids)
    if bad := int((~np.isfinite(logits)).any(1).sum()):
        raise UserError(
            f"the checkpoint gives no numbers for {bad} of {len(ids)} {side} frames; train it "
            "again with a lower optimizer.lr or another train.precision"
        )
    return logits


def _baseline(images: "ImageStore", sides: dict[str, "Side"]) -> dict[str, float | None]:
    """Test scores of a logistic regression on the pixels of small frames."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from springfield.images.dataset import resize
    from springfield.stages.classification.scores import scores

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
    result = scores(sides["test"].labels, predicted)
    return {name: result[name] for name in ("accuracy", "macro_f1", "macro_f1_10")}
