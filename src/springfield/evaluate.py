"""Stage evaluate: the honest numbers, on one device, every frame counted once."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springfield.files import atomic, write_json
from springfield.progress import track

if TYPE_CHECKING:
    from springfield.frames import Side
    from springfield.model import Classifier
    from springfield.store import ImageStore

BATCH = 32
BASELINE_SIZE = 24


@dataclass
class EvaluateParams:
    """What is measured beside the network."""

    baseline: bool
    """Also fit a logistic regression on pixels, to tell how much the network adds."""


def evaluate(
    params: EvaluateParams,
    *,
    checkpoint: Path,
    prepared: Path,
    split: Path,
    metrics: Path,
    calibration: Path,
    report: Path,
    device: str = "cpu",
) -> None:
    """Score the checkpoint on val and test, and fit its temperature on val.

    Args:
        params: what is measured.
        checkpoint: the folder that train wrote.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        metrics: JSON file to write: `val`, `test` and, if the data set has one that the split
            leaves out, `official_test`; and the same by class.
        calibration: JSON file to write: the temperature.
        report: folder to write: `predictions.csv` and `confusion.png`, both of test.
        device: where the network runs.

    Raises:
        UserError: there is no checkpoint.
    """
    from sklearn.metrics import confusion_matrix

    from springfield import metrics as measure
    from springfield.frames import read_split
    from springfield.model import load_checkpoint
    from springfield.plots import confusion_plot
    from springfield.store import ImageStore

    model = load_checkpoint(checkpoint).to(device)
    images = ImageStore(prepared / "images.arrow")
    classes, sides = read_split(prepared, split)
    assert classes == model.architecture.classes
    measured = [side for side in ("val", "test", "official_test") if side in sides]
    logits = {side: _logits(model, images, sides[side].ids, side) for side in measured}
    result: dict[str, Any] = {}
    for side in measured:
        loss = measure.cross_entropy(logits[side], sides[side].labels)
        result[side] = {**measure.scores(sides[side].labels, logits[side].argmax(1)), "loss": loss}
    result["per_class"] = {
        side: measure.scores_by_class(sides[side].labels, logits[side].argmax(1), classes)
        for side in measured
    }
    if params.baseline:
        result["baseline"] = _baseline(images, sides)
    temperature = measure.fit_temperature(logits["val"], sides["val"].labels)

    predicted = logits["test"].argmax(1)
    with atomic(report, directory=True) as partial:
        scaled = logits["test"] / temperature
        confidence = np.exp(scaled.max(1) - np.logaddexp.reduce(scaled, axis=1))
        table = pd.DataFrame(
            {
                "id": sides["test"].ids,
                "class": np.array(classes)[sides["test"].labels],
                "predicted": np.array(classes)[predicted],
                "confidence": confidence,
            }
        )
        table.to_csv(
            partial / "predictions.csv", index=False, lineterminator="\n", float_format="%.5f"
        )
        confusion = confusion_matrix(sides["test"].labels, predicted, labels=range(len(classes)))
        confusion_plot(confusion, classes, partial / "confusion.png")
    write_json(
        calibration,
        {
            "temperature": temperature,
            "val_loss_before": result["val"]["loss"],
            "val_loss_after": measure.cross_entropy(
                logits["val"], sides["val"].labels, temperature
            ),
        },
    )
    write_json(metrics, result)


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
