"""`springfield search`: Optuna over Hydra's params, in trials that can be killed."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import optuna
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from springfield.config import compose, difference

from .conftest import Project, log, start, wait

FILE = "conf/search/tuned.yaml"


def write(project: Project, trials: int, *overrides: str, **space: str) -> None:
    """A search of the tiny experiment; `__` stands for the dot of a key."""
    plan = {
        "experiment": "tiny",
        "overrides": ["train.epochs=3", *overrides],
        "trials": trials,
        "space": {key.replace("__", "."): sweep for key, sweep in space.items()},
    }
    (project.path / FILE).write_text(yaml.safe_dump(plan))


def runs(project: Project) -> tuple[Run, list[Run]]:
    """The run of the only search, and those of its trials."""
    searches = [r for r in project.runs() if r.info.run_name == "search tuned"]
    (parent,) = searches
    children = [
        r for r in project.runs() if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    return parent, children


def state(project: Project) -> dict[str, str]:
    """When what a search must leave alone was written."""
    names = ("models", "data", "reports", "params.yaml", "dvc.lock", "conf/config.yaml")
    files = [f for n in names for f in sorted((project.path / n).rglob("*"))] + [
        project.path / n for n in names
    ]
    return {str(f): f"{f.stat().st_mtime_ns}" for f in files if f.is_file()}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"optimizer__lrr": "choice(1, 2)"}, "unknown key 'optimizer.lrr'; did you mean"),
        ({"optimizer__lr": "choice(-1, 2)"}, "optimizer.lr=-1: should be greater than"),
        ({"optimizer__lr": "0.1"}, "space: optimizer.lr: 0.1 is one value"),
        ({"optimizer__lr": "choice(1"}, "space: optimizer.lr: "),
        ({"seed": "range(1, 5)"}, "space: seed cannot be searched: all trials have the same seed"),
        ({"split__val": "interval(0.1, 0.2)"}, "space: split.val cannot be searched"),
        ({}, "space: "),
    ],
)
def test_what_cannot_be_searched_is_a_line(
    project: Project, space: dict[str, str], said: str
) -> None:
    write(project, 2, **space)
    output = project.springfield("search", FILE, status=1)
    assert output.startswith("error: ")
    assert said in output
    assert output.count("\n") == 1


def test_a_search_overwrites_no_experiment_of_yours(project: Project) -> None:
    write(project, 2, optimizer__lr="interval(0.001, 0.01)")
    before = (project.path / "conf/experiment/tiny.yaml").read_text()
    shutil.move(project.path / FILE, project.path / "conf/search/tiny.yaml")
    output = project.springfield("search", "conf/search/tiny.yaml", status=1)
    assert "conf/experiment/tiny.yaml is there, and no search wrote it" in output
    assert (project.path / "conf/experiment/tiny.yaml").read_text() == before


def test_a_search_without_its_data_says_how_to_make_them(project: Project) -> None:
    write(project, 2, optimizer__lr="interval(0.001, 0.01)")
    output = project.springfield("search", FILE, status=1)
    assert "what comes before training is not up to date" in output
    assert "'dvc repro augment' first" in output


def test_a_search_of_other_data_says_how_to_choose_them(finished: Project) -> None:
    write(finished, 2, "data.source.sample=0.2", optimizer__lr="interval(0.001, 0.01)")
    output = finished.springfield("search", FILE, status=1)
    assert "the search has another data.source than params.yaml; 'springfield use tiny'" in output


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/search.db"])
def test_a_storage_that_cannot_be_used_is_a_line(finished: Project, url: str) -> None:
    write(finished, 2, optimizer__lr="interval(0.001, 0.01)")
    output = finished.springfield("search", FILE, status=1, env={"OPTUNA_STORAGE": url})
    assert output.startswith("error: Optuna's storage cannot be used: ")
    assert output.count("\n") == 1


@pytest.mark.slow
def test_a_search_of_networks_and_sizes(finished: Project) -> None:
    """Which need augmented data of their own; a loss that is no number ends no search."""
    before = state(finished)
    space = {"model__input_size": "choice(24, 28)", "optimizer": "sgd,adamw"}
    write(finished, 3, **space, optimizer__lr="choice(1e-2, 1e30)")
    output = finished.springfield("search", FILE)
    assert state(finished) == before
    assert "trial 3 of 3: " in output
    assert "diverged" in output
    _, children = runs(finished)
    assert len(children) == 3
    assert {run.data.params["model.input_size"] for run in children} <= {"24", "28"}
    assert "trial 3" not in finished.springfield("search", FILE)  # it is over


def study(project: Project) -> optuna.Study:
    """The only one."""
    storage = f"sqlite:///{project.path / '.springfield/search.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def reached(project: Project) -> set[Path]:
    """The checkpoints that trials can go on from."""
    return set(project.path.glob(".springfield/search/tuned-*/**/last-*.ckpt"))


def end_in_a_trial(project: Project, worker: "subprocess.Popen[bytes]", by: signal.Signals) -> int:
    """After an epoch; the exit status."""
    before = reached(project)
    wait(lambda: reached(project) - before)
    worker.send_signal(by)
    return worker.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.real_processes
def test_a_search_is_killed_and_shared_and_ends_with_all_of_its_trials(finished: Project) -> None:
    space = {"optimizer__lr": "tag(log, interval(1e-3, 1e-1))", "train__balance": "0,0.5"}
    write(finished, 6, **space, optimizer="sgd,adamw")
    before = state(finished)
    command = ("springfield", "search", FILE)
    assert end_in_a_trial(finished, start(finished, *command), signal.SIGINT) == 130
    assert "Traceback" not in log(finished)
    other = start(finished, *command)
    end_in_a_trial(finished, start(finished, *command), signal.SIGKILL)
    assert other.wait(timeout=300) == 0, log(finished)
    assert state(finished) == before

    trials = study(finished).trials
    assert [t.state.name for t in trials].count("FAIL") == len(trials) - 6
    over = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert len(over) == 6
    parent, children = runs(finished)
    client = MlflowClient(finished.store)
    assert len(children) == 6
    for trial in over:
        points = client.get_metric_history(trial.user_attrs["run_id"], "val_score")
        curve = {point.step: point.value for point in points}
        assert curve == trial.intermediate_values
        assert len(points) == len(curve)
    plots = {file.path for file in client.list_artifacts(parent.info.run_id, "search")}
    assert {"search/slice.png", "search/optimization_history.png", "search/trials.csv"} <= plots

    best = study(finished).best_trial
    assert parent.data.metrics["val_score"] == best.value
    written = (finished.path / "conf/experiment/tuned.yaml").read_text()
    assert f"Reaches a val score of {best.value:.4f}, 3 epochs of " in written
    assert set(yaml.safe_load(written)) <= {"defaults", "experiment", "optimizer", "train"}
    finished.springfield("use", "tuned")
    compose(finished.path, finished.path / "same.yaml", ["experiment=tiny", "train.epochs=3",
            *(f"{key}={value}" for key, value in best.params.items())])  # fmt: skip
    found = difference(finished.path, finished.path / "same.yaml")
    assert set(found) == {"experiment"}
    finished.springfield("train")
    kept = json.loads((finished.path / "reports/train/kept.json").read_text())["epoch"]
    assert finished.metrics()["val_score"][kept] == best.value
