"""What a user finds after `dvc repro`, and that nothing runs twice."""

import csv
import json
import shutil
import time

import numpy as np
import onnx
import onnxruntime
import pytest
from mlflow.tracking import MlflowClient

from springfield.store import ImageStore

from .conftest import Project


def read(project: Project, path: str) -> list[dict[str, str]]:
    with (project.path / path).open() as file:
        return list(csv.DictReader(file))


def test_tables_have_the_columns_that_others_read(done: Project) -> None:
    index, split = read(done, "data/prepared/index.csv"), read(done, "data/split.csv")
    assert list(index[0]) == [
        "id", "class", "source", "width", "height", "sha256", "phash", "official_split",
    ]  # fmt: skip
    assert list(split[0]) == ["id", "split", "group"]
    assert index[0]["source"].startswith("sample.zip!sample/")
    assert {row["id"] for row in split} == {row["id"] for row in index}
    assert {row["split"] for row in split} == {"train", "val", "test"}


def test_metrics_count_every_frame_once(done: Project) -> None:
    metrics = json.loads((done.path / "reports/metrics.json").read_text())
    sides = [row["split"] for row in read(done, "data/split.csv")]
    for side in ("val", "test"):
        scores = metrics[side]
        names = ["n", "accuracy", "macro_f1", "macro_precision", "macro_recall", "loss"]
        assert list(scores) == names
        assert scores["n"] == sides.count(side)
        assert sum(row["n"] for row in metrics["per_class"][side]) == sides.count(side)
    predictions = read(done, "reports/evaluate/predictions.csv")
    right = sum(row["class"] == row["predicted"] for row in predictions)
    assert metrics["test"]["accuracy"] == pytest.approx(right / len(predictions))


def test_the_kept_weights_score_as_they_did_in_training(done: Project) -> None:
    """They are the averaged ones, of the best epoch."""
    metrics = json.loads((done.path / "reports/metrics.json").read_text())["val"]
    epochs = read(done, "reports/train/metrics.csv")
    best = max(epochs, key=lambda row: float(row["val_score"]))
    assert metrics["macro_f1"] == pytest.approx(float(best["val_macro_f1"]), abs=1e-4)
    assert metrics["accuracy"] == pytest.approx(float(best["val_accuracy"]), abs=1e-4)
    assert metrics["loss"] == pytest.approx(float(best["val_loss"]), abs=0.01)


def test_the_exported_model_gives_the_evaluated_predictions(done: Project) -> None:
    card = json.loads((done.path / "models/model.json").read_text())
    images = ImageStore(done.path / "data/prepared/images.arrow")
    expected = read(done, "reports/evaluate/predictions.csv")
    session = onnxruntime.InferenceSession(done.path / "models/springfield.onnx")
    assert [i.name for i in session.get_inputs()] == [card["input"]["name"]]
    for row in expected:
        probabilities = session.run(None, {"image": images[row["id"]][None]})[0][0]
        assert card["classes"][int(probabilities.argmax())] == row["predicted"]
        assert probabilities.max() == pytest.approx(float(row["confidence"]), abs=1e-3)
    any_size = np.zeros((3, 200, 150, 3), np.uint8)
    assert session.run(None, {"image": any_size})[0].shape == (3, len(card["classes"]))
    stored = {
        p.key: p.value for p in onnx.load(done.path / "models/springfield.onnx").metadata_props
    }
    assert json.loads(stored["classes"]) == card["classes"]
    assert {key: stored[key] for key in ("data", "params", "code")} == card["made_from"]


def test_exporting_again_gives_the_same_files(finished: Project) -> None:
    files = ["models/springfield.onnx", "models/springfield.int8.onnx", "models/model.json"]
    before = [(finished.path / file).read_bytes() for file in files]
    finished.springfield("export")
    assert [(finished.path / file).read_bytes() for file in files] == before


def test_one_run_carries_training_scores_and_model(done: Project) -> None:
    client = MlflowClient(f"sqlite:///{done.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    run = runs[0]
    assert run.info.run_id == json.loads((done.path / "reports/run.json").read_text())["run_id"]
    assert run.info.status == "FINISHED"
    for metric in ("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "lr"):
        history = client.get_metric_history(run.info.run_id, metric)
        assert sorted(point.step for point in history) == [0, 1], metric
    scores = json.loads((done.path / "reports/metrics.json").read_text())["test"]
    assert run.data.metrics["test_accuracy"] == pytest.approx(scores["accuracy"])
    assert run.data.params["optimizer.lr"] == "0.001"
    assert len(run.data.tags["springfield.data_sha256"]) == 64
    artifacts = done.path / "mlartifacts" / run.info.run_id / "artifacts"
    for path in ("models/springfield.onnx", "reports/evaluate/confusion.png", "params.yaml"):
        assert (artifacts / path).is_file(), path


def test_a_second_repro_runs_nothing_in_three_seconds(finished: Project) -> None:
    started = time.perf_counter()
    assert finished.repro() == []
    assert time.perf_counter() - started < 3


def test_deleted_outputs_come_back_without_running(finished: Project) -> None:
    kept = {
        path: (finished.path / path).read_bytes()
        for path in ("reports/metrics.json", "models/springfield.onnx", "data/split.csv")
    }
    for folder in ("models", "reports", "data/raw", "data/prepared", "data/augmented"):
        shutil.rmtree(finished.path / folder)
    (finished.path / "data/split.csv").unlink()
    started = time.perf_counter()
    assert finished.repro() == []
    assert time.perf_counter() - started < 10
    for path, content in kept.items():
        assert (finished.path / path).read_bytes() == content
    assert finished.run("git", "status", "--porcelain").stdout == ""


def test_summary_names_scores_and_model(finished: Project) -> None:
    metrics = json.loads((finished.path / "reports/metrics.json").read_text())
    output = finished.springfield("summary")
    assert f"{metrics['test']['accuracy']:.4f}" in output
    assert "models/springfield.onnx" in output
    assert "make ui" in output


def test_another_store_gets_a_run_of_its_own(finished: Project) -> None:
    uri = f"sqlite:///{finished.path / 'other.db'}"
    output = finished.springfield("evaluate", env={"MLFLOW_TRACKING_URI": uri})
    assert "not in this MLflow store" in output
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    assert "test_accuracy" in client.search_runs([experiment.experiment_id])[0].data.metrics
