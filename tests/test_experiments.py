"""DVC's experiments: overrides and queues, each training one MLflow run."""

import csv
import io

import pytest
from mlflow.tracking import MlflowClient

from .conftest import Project

pytestmark = pytest.mark.slow


def test_experiments_are_runs_with_their_epochs(finished: Project) -> None:
    finished.run("dvc", "exp", "run", "-S", "optimizer.lr=3e-4")
    finished.run("dvc", "exp", "run", "-S", "seed=1,2", "-S", "train.epochs=1", "--queue")
    finished.run("dvc", "exp", "run", "--run-all")

    found = finished.runs()
    assert len(found) == 4
    by_params = {
        (run.data.params["optimizer.lr"], run.data.params["seed"]): run for run in found[1:]
    }
    assert set(by_params) == {("0.0003", "1"), ("0.001", "1"), ("0.001", "2")}
    client = MlflowClient(f"sqlite:///{finished.path / 'mlflow.db'}")
    for (lr, _), run in by_params.items():
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert len(points) == (2 if lr == "0.0003" else 1)
        assert {"test_accuracy", "test_macro_f1"} <= set(run.data.metrics)
        assert run.data.tags["dvc_exp"]

    shown = finished.run("dvc", "exp", "show", "--csv").stdout
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(shown))}
    for run in by_params.values():
        row = rows[run.data.tags["dvc_exp"]]
        assert float(row["test.accuracy"]) == pytest.approx(run.data.metrics["test_accuracy"])
        assert float(row["optimizer.lr"]) == float(run.data.params["optimizer.lr"])
        assert row["seed"] == run.data.params["seed"]


def test_hydra_names_an_unknown_key(finished: Project) -> None:
    result = finished.run("dvc", "exp", "run", "-S", "optimizer.lrr=1", status=None)
    assert result.returncode != 0
    assert "optimizer.lrr" in result.stderr


def test_a_wrong_type_is_found_before_any_work(finished: Project) -> None:
    result = finished.run("dvc", "exp", "run", "-S", "train.epochs=many", status=None)
    assert result.returncode != 0
    assert "train.epochs" in result.stdout + result.stderr
    assert len(finished.runs()) == 1


def test_another_experiment_by_name(finished: Project) -> None:
    other = finished.path / "conf/experiment/other.yaml"
    tiny = (finished.path / "conf/experiment/tiny.yaml").read_text()
    other.write_text(tiny.replace("experiment: tiny", "experiment: other"))
    output = finished.run("dvc", "exp", "run", "-S", "experiment=other", "-S", "seed=5")
    assert "experiment other: split" in output.stdout + output.stderr
