"""Champion and challenger in a real store, and models pulled from a real server."""

import json
import math
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from springfield.machine.errors import UserError
from springfield.tracking.registry import COMPARED, PREDICTIONS, compare, promote

from .conftest import Project, mlflow_server

NAME, FRAMES = "springfield-drawn", 60


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    MlflowClient(uri).create_registered_model(NAME)
    return uri


def version(
    store: str,
    right: int,
    alias: str,
    lr: str = "0.1",
    frames: int = FRAMES,
    score: float | None = None,
) -> str:
    """Register a model that named the first `right` of the test frames rightly."""
    client = MlflowClient(store)
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "optimizer.lr", lr)
    for name in COMPARED:
        client.log_metric(run_id, f"test_{name}", right / frames if score is None else score)
    ids = [f"{i:03d}" for i in range(frames)]
    named = np.where(np.arange(frames) < right, "cat", "dog")
    table = pd.DataFrame({"id": ids, "group": ids, "class": "cat", "predicted": named})
    client.log_text(run_id, table.to_csv(index=False), PREDICTIONS)
    run = client.get_run(run_id)
    made = client.create_model_version(NAME, str(run.info.artifact_uri), run_id)
    client.set_registered_model_alias(NAME, alias, made.version)
    return str(made.version)


def champion(store: str) -> str:
    return str(MlflowClient(store).get_model_version_by_alias(NAME, "champion").version)


def test_the_first_model_becomes_champion(store: str) -> None:
    number = version(store, 30, "challenger")
    assert promote(store, "drawn", force=False).champion is None
    assert champion(store) == number


def test_a_better_model_becomes_champion(store: str) -> None:
    version(store, 30, "champion")
    better = version(store, 50, "challenger", lr="0.2")
    found = promote(store, "drawn", force=False)
    assert found.changed == [("optimizer.lr", "0.1", "0.2")]
    assert found.p is not None
    assert found.p < 0.001
    assert champion(store) == better


@pytest.mark.parametrize(
    ("right", "frames", "told"),
    [
        (20, FRAMES, r"no better \(-0.1667, p = 0.00"),
        (30, FRAMES, r"no better \(\+0.0000, p = 1\)"),
        (32, FRAMES, r"gain of \+0.0333 may be chance \(p = 0.5\)"),
        (55, FRAMES - 1, "tested on other frames"),
    ],
)
def test_another_is_refused_unless_forced(store: str, right: int, frames: int, told: str) -> None:
    old = version(store, 30, "champion")
    new = version(store, right, "challenger", frames=frames)
    with pytest.raises(UserError, match=told):
        promote(store, "drawn", force=False)
    assert champion(store) == old
    promote(store, "drawn", force=True)
    assert champion(store) == new


def test_a_score_that_is_no_number_is_no_better(store: str) -> None:
    old = version(store, 30, "champion")
    version(store, 5, "challenger", score=math.nan)
    with pytest.raises(UserError, match="no better"):
        promote(store, "drawn", force=False)
    assert champion(store) == old


def test_without_a_challenger_there_is_nothing_to_compare(store: str) -> None:
    with pytest.raises(UserError, match="no challenger"):
        compare(store, "drawn")


def test_the_command_shows_what_changed_and_which_is_better(finished: Project) -> None:
    assert "version 1 is the champion" in finished.springfield("promote")
    assert "champion already" in finished.springfield("promote", status=1)
    finished.springfield("compose", "optimizer.lr=0.004")
    finished.repro()
    text = finished.springfield("compare")
    assert "champion (1)" in text
    assert "challenger (2)" in text
    assert "optimizer.lr" in text
    assert "test macro_f1" in text
    assert "p = " in text


@pytest.mark.slow
def test_a_model_is_pulled_from_a_server(
    finished: Project, unused_port: int, tmp_path: Path
) -> None:
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    with mlflow_server(finished, unused_port) as address:
        env = {"MLFLOW_TRACKING_URI": address}
        assert "has no models yet" in elsewhere.springfield("pull", status=1, env=env)
        finished.springfield("export", env=env)
        told = elsewhere.springfield("pull", status=1, env=env)
        assert "springfield-sample has no champion yet" in told
        assert len(told.strip().splitlines()) == 1
        finished.springfield("evaluate", env=env)
        finished.springfield("promote", env=env)
        elsewhere.springfield("pull", env=env)
        for name in ("springfield.onnx", "springfield.int8.onnx", "model.json", "README.md"):
            pulled = (elsewhere.path / "models" / name).read_bytes()
            assert pulled == (finished.path / "models" / name).read_bytes()
        picture = next((finished.path / "reports").rglob("*.png"))
        (answer,) = json.loads(
            elsewhere.run("springfield", "predict", str(picture), "--json").stdout
        )
        assert answer["top"]

        shutil.rmtree(elsewhere.path / "models")
        logged = next((finished.path / "artifacts").rglob("springfield.int8.onnx"))
        logged.write_bytes(logged.read_bytes() + b"0")
        told = elsewhere.springfield("pull", status=1, env=env)
        assert "springfield.int8.onnx" in told
        assert "is not what was registered" in told
        assert not (elsewhere.path / "models").exists()
    told = elsewhere.springfield("pull", status=1, env=env)
    assert len(told.strip().splitlines()) == 1
    assert address in told
