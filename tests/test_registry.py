"""Champion and challenger in a real store, and models pulled from a real server."""

import json
import math
import shutil
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from springfield.artifacts.registered import HASH
from springfield.files import sha256
from springfield.machine.errors import UserError
from springfield.tracking.registry import PREDICTIONS, compare, promote
from springfield.tracking.run import PRIMARY, open_run

from .conftest import Project, mlflow_server

NAME, FRAMES = "springfield-drawn", 60
ONNX = Path("springfield.onnx")


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
    alias: str = "",
    lr: str = "0.1",
    frames: int = FRAMES,
    score: float | None = None,
) -> int:
    """Register a model, now in the workspace, that named the first `right` frames rightly."""
    client = MlflowClient(store)
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "optimizer.lr", lr)
    client.log_metric(run_id, "test_accuracy", right / frames if score is None else score)
    client.set_tag(run_id, PRIMARY, "accuracy higher")
    ids = [f"{i:03d}" for i in range(frames)]
    named = np.where(np.arange(frames) < right, "cat", "dog")
    scores = (named == "cat").astype(int)
    columns = {"id": ids, "group": ids, "score": scores, "class": "cat", "predicted": named}
    table = pd.DataFrame(columns)
    client.log_text(run_id, table.to_csv(index=False), PREDICTIONS)
    run = client.get_run(run_id)
    ONNX.write_text(f"{right} {lr} {frames}")
    tags = {f"{HASH}{ONNX.name}": sha256(ONNX)}
    made = client.create_model_version(NAME, str(run.info.artifact_uri), run_id, tags=tags)
    if alias:
        client.set_registered_model_alias(NAME, alias, str(made.version))
    return int(made.version)


def champion(store: str) -> int:
    return int(MlflowClient(store).get_model_version_by_alias(NAME, "champion").version)


@pytest.mark.parametrize("inside", [True, False])
def test_any_folder_can_hold_a_store(
    tmp_path: Path, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose name means something in a URL."""
    above = tmp_path / "run ?a=1 %20 %2F #1 шрифт"
    root = above / "project"
    root.mkdir(parents=True)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root if inside else root.parent)
    root = Path() if inside else Path("project")
    with open_run(root, "any", None, {}, {}) as run_id:
        mlflow.log_text("told", "folder/file.txt")
    (written,) = root.rglob("file.txt")
    assert written.read_text() == "told"
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/folder/file.txt") == "told"
    assert (root / "mlflow.db").is_file()
    assert list(tmp_path.iterdir()) == [above]
    assert [path.name for path in above.iterdir()] == ["project"]


def test_a_relative_store_is_that_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from the temporary folders in which DVC runs experiments."""
    root, workspace = tmp_path / "root", tmp_path / "root/.dvc/tmp/exps/one"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    with open_run(root, "any", None, {}, {}):
        pass
    assert (root / "runs.db").is_file()
    assert not list(workspace.iterdir())


def test_an_experiment_that_was_deleted_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with open_run(tmp_path, "any", None, {}, {}) as first:
        pass
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client.delete_experiment(client.get_run(first).info.experiment_id)
    with open_run(tmp_path, "any", None, {}, {}) as second:
        pass
    assert "experiment 'any' was deleted: restored" in capsys.readouterr().err
    assert client.get_run(first).info.experiment_id == client.get_run(second).info.experiment_id


def dripping_server() -> str:
    """The address of one that sends a byte now and then, for ever."""
    listening = socket.create_server(("127.0.0.1", 0))

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{")
            while True:
                time.sleep(0.5)
                connection.sendall(b" ")

    def serve() -> None:
        while True:
            threading.Thread(target=drip, args=listening.accept()[:1], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["damaged", "foreign", "locked", "dripping"])
def test_a_store_that_cannot_be_used_is_told_in_seconds(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("springfield.tracking.run.ANSWER", 3)
    told = "sqlite:///.*mlflow.db cannot be used: .*; end what else uses this file, or move it away"
    if kind == "damaged":
        Path("mlflow.db").write_bytes(bytes(range(256)) * 40)
    elif kind == "dripping":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", dripping_server())
        told = "http://.* cannot be used: no answer within 3 s; start it, or mend MLFLOW_TRACKING"
    else:
        other = sqlite3.connect("mlflow.db")
        other.execute("create table alembic_version(version_num)")
        other.execute("insert into alembic_version values('not of MLflow')")
        other.commit()
        if kind == "locked":
            other.execute("begin exclusive")
    begun = time.monotonic()
    with pytest.raises(UserError, match=told), open_run(Path(), "any", None, {}, {}):
        pass
    assert time.monotonic() - begun < 10


def test_the_first_model_becomes_champion(store: str) -> None:
    number = version(store, 30)
    assert promote(store, "drawn", ONNX, force=False).champion is None
    assert champion(store) == number


def test_a_better_model_becomes_champion(store: str) -> None:
    version(store, 30, "champion")
    better = version(store, 50, lr="0.2")
    found = promote(store, "drawn", ONNX, force=False)
    assert found.changed == [("optimizer.lr", "0.1", "0.2")]
    assert found.p is not None
    assert found.p < 0.001
    assert champion(store) == better


@pytest.mark.parametrize(
    ("right", "frames", "told"),
    [
        (20, FRAMES, r"no better \(-0.1667, p = 0.00"),
        (30, FRAMES, r"no better \(\+0.0000, p = 1\)"),
        (32, FRAMES, r"gain of \+0.0333 may be chance \(p = 0.5; of comparison 1 "),
        (55, FRAMES - 1, "tested on other frames"),
    ],
)
def test_another_is_refused_unless_forced(store: str, right: int, frames: int, told: str) -> None:
    old = version(store, 30, "champion")
    new = version(store, right, frames=frames)
    with pytest.raises(UserError, match=told):
        promote(store, "drawn", ONNX, force=False)
    assert champion(store) == old
    promote(store, "drawn", ONNX, force=True)
    assert champion(store) == new


def test_a_champion_whose_run_tells_nothing_is_replaced_by_force(store: str) -> None:
    old = version(store, 30, "champion")
    new = version(store, 5)
    client = MlflowClient(store)
    client.delete_tag(str(client.get_model_version(NAME, str(old)).run_id), PRIMARY)
    with pytest.raises(UserError, match="'springfield promote --force' replaces this champion"):
        promote(store, "drawn", ONNX, force=False)
    promote(store, "drawn", ONNX, force=True)
    assert champion(store) == new


def test_each_version_compared_on_the_same_frames_asks_for_more(store: str) -> None:
    version(store, 30, "champion")
    first, second = version(store, 31), version(store, 36)
    for _ in range(2):  # the same one again, and the champion itself, are no further look
        assert compare(store, "drawn", first).look == 1
        assert compare(store, "drawn", 1).p == 1
    with pytest.raises(UserError, match=r"p = 0.031; of comparison 2 on these .* below 0.017"):
        promote(store, "drawn", second, force=False)
    promote(store, "drawn", second, force=True)
    # Another champion: from the beginning.
    assert compare(store, "drawn", first).look == 1


def test_a_score_that_is_no_number_is_no_better(store: str) -> None:
    old = version(store, 30, "champion")
    version(store, 5, score=math.nan)
    with pytest.raises(UserError, match="no better"):
        promote(store, "drawn", ONNX, force=False)
    assert champion(store) == old


def test_the_model_of_the_workspace_or_a_number_is_meant_not_the_last_export(store: str) -> None:
    applied = version(store, 50)
    content = ONNX.read_bytes()
    last = version(store, 55, "challenger")
    ONNX.write_bytes(content)
    promote(store, "drawn", ONNX, force=False)
    assert champion(store) == applied
    promote(store, "drawn", last, force=True)
    assert champion(store) == last


def test_a_model_that_is_no_version_is_not_compared(store: str) -> None:
    with pytest.raises(UserError, match=r"springfield.onnx does not exist"):
        compare(store, "drawn", ONNX)
    version(store, 50, "challenger")
    ONNX.write_text("another")
    with pytest.raises(UserError, match=r"springfield.onnx is no version of springfield-drawn"):
        compare(store, "drawn", ONNX)
    with pytest.raises(UserError, match=r"has no version 7"):
        compare(store, "drawn", 7)


def test_the_command_shows_what_changed_and_which_is_better(finished: Project) -> None:
    told = "version 1 (models/springfield.onnx) is the champion of sample"
    assert told in finished.springfield("promote")
    assert "champion already" in finished.springfield("promote", status=1)
    finished.springfield("compose", "optimizer.lr=0.004")
    finished.repro()
    assert finished.runs()[-1].info.run_name == "tiny optimizer.lr=0.004"
    text = finished.springfield("compare")
    assert "champion (1)" in text
    assert "version 2" in text
    assert "version 1" in finished.springfield("compare", "1")
    assert "champion already" in finished.springfield("promote", "1", status=1)
    assert "optimizer.lr" in text
    assert "test macro_f1" in text
    assert "p = " in text


@pytest.mark.slow
def test_own_pictures_have_the_name_of_their_folder_in_mlflow(finished: Project) -> None:
    finished.springfield(
        "compose", "experiment=folder", "data.watch='../My pets'", "data.about.title='<b>pets</b>'",
        "hardware=cpu", "model.backbone=test_resnet", "model.input_size=32", "model.weights=null",
        "train.epochs=1", "train.batch_size=16", "evaluate.baseline=false", "export.calibration=8",
    )  # fmt: skip
    for stage in ("train", "evaluate", "export"):
        finished.springfield(stage)
    client = MlflowClient(finished.store)
    experiment = client.get_experiment_by_name("My_pets")
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id])
    assert "on &lt;b&gt;pets&lt;/b&gt;." in run.data.tags["mlflow.note.content"]
    assert run.inputs
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["My_pets"]
    found = client.get_model_version_by_alias("springfield-My_pets", "challenger")
    assert found.run_id == run.info.run_id


def check_strange_versions(elsewhere: Project, address: str, tmp_path: Path) -> None:
    """Without the network's hash, or with the hash of a file that would go elsewhere."""
    client, name = MlflowClient(address), "springfield-sample"
    champion = client.get_model_version_by_alias(name, "champion")
    network = f"{HASH}springfield.onnx"
    for tags, told in (
        ({}, "has no hash of springfield.onnx"),
        ({f"{HASH}model.json": champion.tags[f"{HASH}model.json"]}, "has no hash of"),
        ({network: "0", f"{HASH}{tmp_path}/outside": "0"}, "outside', which is refused"),
        ({network: "0", f"{HASH}..": "0"}, "'..', which is refused"),
    ):
        assert champion.source
        strange = client.create_model_version(
            name, champion.source, tags=tags, model_id=champion.source.removeprefix("models:/")
        )
        client.set_registered_model_alias(name, "strange", str(strange.version))
        command = ("pull", "--alias", "strange")
        env = {"MLFLOW_TRACKING_URI": address}
        assert told in elsewhere.springfield(*command, status=1, env=env)


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
        assert "no model nobody" in elsewhere.springfield("pull", "nobody", status=1, env=env)
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
        check_strange_versions(elsewhere, address, tmp_path)
        assert not (elsewhere.path / "models").exists()
    told = elsewhere.springfield("pull", status=1, env=env)
    assert len(told.strip().splitlines()) == 1
    assert address in told
