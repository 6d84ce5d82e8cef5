"""DVC's experiments: overrides and queues, each training one MLflow run."""

import csv
import io
import json
import re
import shutil

import pytest
from mlflow.tracking import MlflowClient

from .conftest import Project

pytestmark = pytest.mark.slow


def test_experiments_are_runs_with_their_epochs(finished: Project) -> None:
    finished.run("dvc", "exp", "run", "-S", "seed=1,2", "-S", "train.epochs=1", "--queue")
    finished.run("dvc", "exp", "run", "--run-all")

    before, *found = finished.runs()
    by_seed = {run.data.params["seed"]: run for run in found}
    assert sorted(by_seed) == ["1", "2"]
    client = MlflowClient(finished.store)
    for run in found:
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert len(points) == 1
        assert {"test_accuracy", "test_macro_f1"} <= set(run.data.metrics)
        assert run.data.tags["dvc_exp"]
    assert "dvc_exp" not in before.data.tags

    shown = finished.run("dvc", "exp", "show", "--csv").stdout
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(shown))}
    for run in found:
        row = rows[run.data.tags["dvc_exp"]]
        assert float(row["test.accuracy"]) == pytest.approx(run.data.metrics["test_accuracy"])
        assert row["train.epochs"] == run.data.params["train.epochs"]
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
    client = MlflowClient(finished.store)
    experiment = client.get_experiment_by_name("other")
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["seed"] == "5"
    assert run.data.tags["dvc_exp"]
    assert len(client.get_metric_history(run.info.run_id, "val_accuracy")) == 2


def test_experiments_of_a_commit_whose_artifacts_are_elsewhere(project: Project) -> None:
    """The second one finds the first stages in the run cache; dvc.lock names what is not there."""
    project.run("dvc", "exp", "run", "-S", "train.epochs=1")
    project.run("git", "checkout", "--", "dvc.lock", "params.yaml", "reports")
    output = project.run("dvc", "exp", "run", "-S", "train.epochs=1", "-S", "optimizer.lr=0.01")
    assert "Stage 'split' is cached" in output.stdout
    assert "Running stage 'train'" in output.stdout


def test_experiments_where_there_are_no_commits(project: Project) -> None:
    """As in a source archive, or before the first commit."""
    shutil.rmtree(project.path / ".git")
    output = project.springfield("experiments", status=1)
    assert output == "error: DVC keeps experiments in Git, and here is none: run 'git init'\n"
    project.run("git", "init", "-q")
    assert "changed" in project.springfield("experiments")
    (head,) = project.run("springfield", "experiments", "--csv", "--all").stdout.splitlines()
    assert head.startswith("experiment,commit,changed,")


def test_experiments_fit_a_terminal_and_say_what_they_changed(finished: Project) -> None:
    finished.run("dvc", "exp", "run", "-n", "surer", "-S", "evaluate.sure=0.9")
    two = ("-S", "train.epochs=1", "-S", "seed=2")
    finished.run("dvc", "exp", "run", "--queue", "-n", "later", *two)
    table = finished.springfield("experiments", env={"COLUMNS": "80"})
    assert max(map(len, table.splitlines())) <= 80
    assert "evaluate.sure=0.9" in table
    assert re.search(r"│ later +│ seed=2 +│.*\n│ +│ train\.epochs=1 +│", table)  # one a line
    printed = finished.run("springfield", "experiments", "--csv").stdout
    rows = {row["experiment"]: row for row in csv.DictReader(printed.splitlines())}
    metrics = json.loads((finished.path / "reports/metrics.json").read_text())
    assert rows["surer"]["changed"] == "evaluate.sure=0.9"
    assert float(rows["surer"]["test.macro_f1"]) == metrics["test"]["macro_f1"]
    assert (rows["later"]["changed"], rows["later"]["state"]) == ("seed=2 train.epochs=1", "Queued")
    finished.commit("go on")
    assert "surer" not in finished.springfield("experiments")
    assert "surer" in finished.springfield("experiments", "--all")
