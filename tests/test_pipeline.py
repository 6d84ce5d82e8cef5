"""What a user finds after `dvc repro`, and that nothing runs twice."""

import csv
import hashlib
import json
import math
import re
import shutil
import time
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from mlflow.tracking import MlflowClient
from safetensors.torch import save_file
from scipy.special import softmax

from springfield.artifacts.card import model_card
from springfield.images.store import ImageStore
from springfield.stages.classification.export import CARD, HUB_METRICS, HUB_TASK
from springfield.stages.classification.network import load_checkpoint

from .conftest import GIT, Project


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
        assert scores["n"] == sides.count(side)
        for name in ("accuracy", "macro_f1"):
            assert scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"]
        assert sum(row["n"] for row in metrics["per_class"][side]) == sides.count(side)
    predictions = read(done, "reports/evaluate/predictions.csv")
    right = sum(row["class"] == row["predicted"] for row in predictions)
    assert metrics["test"]["accuracy"] == pytest.approx(right / len(predictions))


def test_the_kept_weights_score_as_they_did_in_training(done: Project) -> None:
    """They are the averaged ones."""
    metrics = json.loads((done.path / "reports/metrics.json").read_text())["val"]
    epochs = read(done, "reports/train/metrics.csv")
    kept = json.loads((done.path / "reports/train/kept.json").read_text())["epoch"]
    row = epochs[kept]
    assert metrics["macro_f1"] == pytest.approx(float(row["val_macro_f1"]), abs=1e-4)
    assert metrics["accuracy"] == pytest.approx(float(row["val_accuracy"]), abs=1e-4)
    assert metrics["loss"] == pytest.approx(float(row["val_loss"]), abs=0.01)


def test_the_threshold_divides_the_test_frames_as_the_scores_say(done: Project) -> None:
    metrics = json.loads((done.path / "reports/metrics.json").read_text())
    threshold = json.loads((done.path / "models/calibration.json").read_text())["threshold"]
    predictions = read(done, "reports/evaluate/predictions.csv")
    # The table rounds confidences to five decimals.
    surely = sum(float(row["confidence"]) > threshold + 1e-5 for row in predictions)
    perhaps = sum(float(row["confidence"]) > threshold - 1e-5 for row in predictions)
    assert surely <= round(metrics["test"]["sure_share"] * len(predictions)) <= perhaps
    assert metrics["val"]["sure_share"] > 0
    assert metrics["val"]["calibrated_loss"] <= metrics["val"]["loss"] + 0.01


def test_an_epoch_takes_longer_than_its_training(done: Project) -> None:
    """So both are there: images per second of training, and seconds with validation and all."""
    taken = len(read(done, "data/augmented/index.csv")) + sum(
        row["split"] == "train" for row in read(done, "data/split.csv")
    )
    for row in read(done, "reports/train/speed.csv"):
        training = taken // 16 * 16 / float(row["images_per_second"])
        assert float(row["seconds"]) > training
        assert 0 <= float(row["waiting_share"]) < 1


def test_each_series_of_dvcs_plots_is_a_line(done: Project) -> None:
    """Two series in one zigzag cannot be read."""
    shown = json.loads(done.run("dvc", "plots", "show", "--json").stdout)["data"]
    titles = set()
    for plot in (plot for plots in shown.values() for plot in plots if plot["type"] == "vega"):
        chart = plot["content"]
        titles.add(chart["title"]["text"])
        if chart["title"]["text"].startswith("Confusion"):
            continue
        points = pd.DataFrame(chart["data"]["values"])
        x = next(name for name in ("epoch", "recall", "confidence") if name in points)
        series = [name for name in ("rev", "filename", "field") if name in points]
        for _, line in points.groupby(series):
            along = pd.to_numeric(line[x])
            assert along.is_monotonic_increasing or along.is_monotonic_decreasing, chart["title"]
    assert {"Loss by epoch", "Scores by epoch", "Reliability (test)"} <= titles


def test_the_mistakes_are_shown(done: Project) -> None:
    page = (done.path / "reports/evaluate/mistakes.html").read_text()
    predictions = read(done, "reports/evaluate/predictions.csv")
    wrong = [row for row in predictions if row["class"] != row["predicted"]]
    assert f"{len(wrong)} mistakes in {len(predictions)} test frames" in page
    assert page.count("<figure>") == min(len(wrong), 100)
    hashes = {row["id"]: row["sha256"] for row in read(done, "data/prepared/index.csv")}
    sure = sorted(wrong, key=lambda row: -float(row["confidence"]))[:100]
    assert {hashes[row["id"]] for row in sure} == set(re.findall("[0-9a-f]{64}", page))


def test_the_mean_with_mirror_images_is_a_row_of_its_own(finished: Project) -> None:
    before = json.loads((finished.path / "reports/metrics.json").read_text())
    finished.springfield("compose", "evaluate.flips=true")
    finished.springfield("evaluate")
    metrics = json.loads((finished.path / "reports/metrics.json").read_text())
    flips = metrics.pop("test_flips")
    assert metrics == before
    images = ImageStore(finished.path / "data/prepared/images.arrow")
    session = onnxruntime.InferenceSession(finished.path / "models/springfield.onnx")
    classes = json.loads((finished.path / "models/model.json").read_text())["classes"]
    right = []
    for row in read(finished, "reports/evaluate/predictions.csv"):
        looks = images[row["id"]], images[row["id"]][:, ::-1].copy()
        both = sum(session.run(None, {"image": look[None]})[0][0] for look in looks)
        right.append(classes[int(both.argmax())] == row["class"])
    assert flips["accuracy"] == pytest.approx(np.mean(right))
    assert flips["n"] == len(right)
    assert flips["macro_f1_low"] <= flips["macro_f1"] <= flips["macro_f1_high"]
    assert "test, mean with mirror images" in finished.springfield("summary")


def test_the_exported_model_gives_the_evaluated_predictions(done: Project) -> None:
    description = json.loads((done.path / "models/model.json").read_text())
    images = ImageStore(done.path / "data/prepared/images.arrow")
    expected = read(done, "reports/evaluate/predictions.csv")
    session = onnxruntime.InferenceSession(done.path / "models/springfield.onnx")
    assert [i.name for i in session.get_inputs()] == [description["input"]["name"]]
    for row in expected:
        probabilities = session.run(None, {"image": images[row["id"]][None]})[0][0]
        assert description["classes"][int(probabilities.argmax())] == row["predicted"]
        assert probabilities.max() == pytest.approx(float(row["confidence"]), abs=1e-3)
    any_size = np.zeros((3, 200, 150, 3), np.uint8)
    assert session.run(None, {"image": any_size})[0].shape == (3, len(description["classes"]))


@pytest.mark.parametrize("file", ["springfield.onnx", "springfield.int8.onnx"])
def test_file_description_scores_and_run_agree(done: Project, file: str) -> None:
    """All that is known of a model is found from the bytes of its file."""
    metadata = {p.key: p.value for p in onnx.load(done.path / "models" / file).metadata_props}
    description = json.loads((done.path / "models/model.json").read_text())
    metrics = json.loads((done.path / "reports/metrics.json").read_text())
    for name in ("classes", "threshold", "metrics"):
        assert json.loads(metadata[name]) == description[name]
    assert description["metrics"] == {side: metrics[side] for side in ("val", "test")}
    assert {name: metadata[name] for name in ("data", "params", "code")} == description["made_from"]

    digest = hashlib.sha256((done.path / "models" / file).read_bytes()).hexdigest()
    assert description["files"][file] == digest
    (run,) = MlflowClient(done.store).search_runs(
        [done.runs()[0].info.experiment_id], f"tags.`sha256.{file}` = '{digest}'"
    )
    assert run.info.run_id == description["run_id"]
    for name, value in metrics["test"].items():
        assert run.data.metrics.get(f"test_{name}") == pytest.approx(value)
    for name, value in description["made_from"].items():
        assert run.data.tags[f"springfield.{name}_sha256"] == value


def test_the_card_is_one_that_hubs_read(done: Project) -> None:
    card = ModelCard.load(done.path / "models/README.md")
    metrics = json.loads((done.path / "reports/metrics.json").read_text())
    found = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results or []}
    assert found["test", "accuracy"] == pytest.approx(metrics["test"]["accuracy"], abs=1e-4)
    assert found["test", "f1"] == pytest.approx(metrics["test"]["macro_f1"], abs=1e-4)
    assert card.data.license == "other"
    for row in metrics["per_class"]["test"]:
        assert f"| {row['class']} | {row['n']} |" in card.text


def test_the_card_shows_any_name_as_it_is(done: Project) -> None:
    described = json.loads((done.path / "models/model.json").read_text())
    scores = json.loads((done.path / "reports/metrics.json").read_text())
    report = json.loads((done.path / "reports/export.json").read_text())
    row = scores["per_class"]["test"][0]
    row["class"] = "<script>|[x](http://evil.example)\x1b"
    row |= {"precision": None, "precision_low": None, "precision_high": None}
    chosen = yaml.safe_load((done.path / "params.yaml").read_text())
    chosen["data"]["about"]["title"] = "<b>pets</b>"
    frames = {"train": 1, "val": 1, "test": 1}
    card = model_card(CARD, HUB_TASK, HUB_METRICS, chosen, described, scores, report, frames)
    assert "| &lt;script&gt;\\|\\[x\\](http:\\//evil.example)\\\\x1b | " in card
    assert "Data: &lt;b&gt;pets&lt;/b&gt;, licence" in card.replace("; ", ", ")
    assert f"| {row['n']} | unknown |" in card
    assert "| `train.sizes` | [] |" in card
    assert "None" not in card.split("## How to use it")[0]


def test_a_checkpoint_that_gives_no_numbers_is_refused(finished: Project) -> None:
    """Comparing with what is no number is false, and false was taken for equal."""
    scores = (finished.path / "reports/metrics.json").read_text()
    weights = finished.weights()
    weights["backbone.fc.bias"][0] = math.nan
    save_file(weights, finished.path / "models/checkpoint/model.safetensors")
    for stage, told in (
        ("evaluate", "the checkpoint gives no numbers for"),
        ("export", "wrong for a batch of 1"),
    ):
        line = finished.springfield(stage, status=1).strip().splitlines()[-1]
        assert told in line
    assert (finished.path / "reports/metrics.json").read_text() == scores


def test_a_file_for_accelerators_gives_the_evaluated_predictions(finished: Project) -> None:
    folder = finished.path / "models/static"
    assert [path.name for path in folder.rglob("*")] == ["model.json"]  # no such file by default
    finished.springfield("compose", "export.static=3")
    finished.springfield("export")
    model = folder / "triton/springfield/1/model.onnx"
    for value in (*(graph := onnx.load(model).graph).input, *graph.output):
        assert all(d.dim_value for d in value.type.tensor_type.shape.dim)
    session = onnxruntime.InferenceSession(model)
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    described = json.loads((folder / "model.json").read_text())
    assert described["input"] == {given.name: given.shape} == {"pixels": [3, 3, 32, 32]}
    assert described["output"] == {answer.name: answer.shape}
    config = (folder / "triton/springfield/config.pbtxt").read_text()
    assert 'name: "pixels", data_type: TYPE_FP32, dims: [3, 3, 32, 32]' in config

    images = ImageStore(finished.path / "data/prepared/images.arrow")
    classes = json.loads((finished.path / "models/model.json").read_text())["classes"]
    resize = load_checkpoint(finished.path / "models/checkpoint").resize
    rows = read(finished, "reports/evaluate/predictions.csv")[:3]
    frames = [resize(torch.from_numpy(images[row["id"]])[None]) for row in rows]
    logits = session.run(None, {"pixels": torch.cat(frames).numpy()})[0]
    probabilities = softmax(logits / described["temperature"], axis=1)
    for row, found in zip(rows, probabilities, strict=True):
        assert classes[int(found.argmax())] == row["predicted"]
        assert found.max() == pytest.approx(float(row["confidence"]), abs=1e-3)


def test_a_registered_version_is_a_model_of_mlflow(done: Project) -> None:
    mlflow.set_tracking_uri(done.store)
    model = mlflow.pyfunc.load_model("models:/springfield-sample@challenger")
    found = model.predict({"image": np.zeros((2, 40, 30, 3), np.uint8)})
    assert found["probabilities"].sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.real_processes
def test_exporting_again_gives_the_same_files(finished: Project) -> None:
    names = ("springfield.onnx", "springfield.int8.onnx", "model.json", "README.md")
    files = [f"models/{name}" for name in names]
    before = [(finished.path / file).read_bytes() for file in files]
    finished.springfield("export")
    assert [(finished.path / file).read_bytes() for file in files] == before
    versions = MlflowClient(finished.store).search_model_versions("name = 'springfield-sample'")
    assert len(versions) == 1


def test_mlflow_shows_what_a_run_and_its_model_are(done: Project) -> None:
    client = MlflowClient(done.store)
    (run,) = done.runs()
    assert run.info.run_name == "tiny"
    assert "test\\_resnet" not in run.data.tags["mlflow.note.content"]
    assert "test_resnet at 32 pixels" in run.data.tags["mlflow.note.content"]
    assert run.inputs
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name == "sample"
    assert used.dataset.digest == run.data.tags["springfield.data_sha256"][:36]
    assert json.loads(used.dataset.source) == {"tags": {"sample": 0.1}}
    version = client.get_model_version_by_alias("springfield-sample", "challenger")
    assert run.outputs
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [
        {"name": "springfield-sample", "version": version.version}
    ]
    mlflow.set_tracking_uri(done.store)
    logged = mlflow.models.Model.load(f"models:/{output.model_id}")
    described = json.loads((done.path / "models/model.json").read_text())
    assert logged.metadata == {key: described[key] for key in ("task", "classes", "threshold")}
    example: Any = logged.load_input_example(f"models:/{output.model_id}")
    assert np.shape(example["image"]) == (1, 16, 16, 3)


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
    assert run.data.tags["springfield.precision"] == "32-true"
    artifacts = done.path / "mlartifacts" / run.info.run_id / "artifacts"
    for path in ("reports/evaluate/mistakes.html", "reports/evaluate/confusion.png", "params.yaml"):
        assert (artifacts / path).is_file(), path


@pytest.mark.alone
@pytest.mark.real_processes
def test_a_second_repro_runs_nothing_in_three_seconds(finished: Project) -> None:
    started = time.perf_counter()
    assert finished.repro() == []
    assert time.perf_counter() - started < 3


@pytest.mark.alone
@pytest.mark.real_processes
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
    if GIT:
        assert finished.run("git", "status", "--porcelain").stdout == ""


def test_summary_names_scores_and_model(finished: Project) -> None:
    metrics = json.loads((finished.path / "reports/metrics.json").read_text())
    output = finished.springfield("summary")
    assert f"{metrics['test']['accuracy']:.4f}" in output
    assert "models/springfield.onnx" in output
    assert "make ui" in output
    assert "missing" not in output
    assert max(map(len, output.splitlines())) <= 80
    (finished.path / "models/springfield.int8.onnx").unlink()
    shutil.rmtree(finished.path / "reports/evaluate")
    output = finished.springfield("summary")
    assert "models/springfield.onnx" in output
    assert "int8" not in output
    assert "mistakes" not in output
    assert "dvc pull" in output


def test_another_store_gets_a_run_of_its_own(finished: Project) -> None:
    uri = f"sqlite:///{finished.path / 'other.db'}"
    output = finished.springfield("evaluate", env={"MLFLOW_TRACKING_URI": uri})
    assert "not in this MLflow store" in output
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    assert "test_accuracy" in client.search_runs([experiment.experiment_id])[0].data.metrics
