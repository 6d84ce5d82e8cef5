"""Training: repeatable, resumable, the same on one process and on two."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from springfield.errors import UserError
from springfield.mirror import RemoteFile, fetch
from springfield.model import (
    Architecture,
    Classifier,
    load_backbone,
    load_checkpoint,
    save_checkpoint,
)

from .conftest import SHARED, Project

WEIGHTS = SHARED / "weights/inception_v3_imagenet.safetensors"


def architecture(backbone: str, size: int) -> Architecture:
    return Architecture(backbone, size, [0.5] * 3, [0.5] * 3, ["a", "b", "c"])


def weights(project: Project) -> dict[str, torch.Tensor]:
    return load_file(project.path / "models/checkpoint/model.safetensors")


def runs(project: Project) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    return list(client.search_runs([experiment.experiment_id]))


def last_epoch(project: Project) -> int:
    """The newest epoch that a stopped training can go on from; -1: none."""
    saved = project.path.glob(".springfield/train/*/last-*.ckpt")
    return max((int(path.stem.split("-")[1]) for path in saved), default=-1)


def wait_for_epochs(project: Project, n: int) -> None:
    deadline = time.monotonic() + 120
    while last_epoch(project) < n - 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def logged_epochs(project: Project) -> list[int]:
    """The epochs in the newest run's curve, as often as they are there."""
    client = MlflowClient(f"sqlite:///{project.path / 'mlflow.db'}")
    return [m.step for m in client.get_metric_history(runs(project)[0].info.run_id, "val_loss")]


@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 32), ("inception_v3", 75)])
def test_a_reloaded_checkpoint_gives_the_same_logits(
    backbone: str, size: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = Classifier(architecture(backbone, size)).eval()
    save_checkpoint(model, tmp_path / "checkpoint", {})
    images = torch.randint(0, 256, (2, 90, 120, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(images)
        assert torch.equal(load_checkpoint(tmp_path / "checkpoint")(images), expected)
        assert expected.shape == (2, 3)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs a mirror with the ImageNet weights")
def test_weights_of_the_mirror_fit_inception_and_nothing_else(tmp_path: Path) -> None:
    model = Classifier(architecture("inception_v3", 75))
    load_backbone(model, WEIGHTS)
    loaded = load_file(WEIGHTS)["Conv2d_1a_3x3.conv.weight"]
    assert torch.equal(model.backbone.Conv2d_1a_3x3.conv.weight, loaded.float())
    with pytest.raises(UserError, match="does not fit test_resnet"):
        load_backbone(Classifier(architecture("test_resnet", 32)), WEIGHTS)


def test_an_unknown_backbone_is_named_with_near_ones() -> None:
    with pytest.raises(UserError, match=r"timm has no 'inception_v9'; near it: .*inception"):
        Classifier(architecture("inception_v9", 75))


def test_weights_are_verified(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/w.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match="damaged or another file"):
        fetch(RemoteFile("w.safetensors", "0" * 64), tmp_path / "w", "mirror", tmp_path)
    assert not list((tmp_path / "w").iterdir())


def test_the_same_params_give_the_same_checkpoint(finished: Project) -> None:
    before = weights(finished)
    finished.springfield("train")
    after = weights(finished)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_killed_training_goes_on_from_its_last_epoch_in_the_same_run(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=5")
    finished.springfield("train")
    expected, before = weights(finished), len(runs(finished))

    finished.springfield("compose", "train.epochs=5", "seed=1")
    process = subprocess.Popen(
        ["springfield", "train"], cwd=finished.path, env=finished.env, start_new_session=True
    )
    store = finished.path / ".springfield/train"
    deadline = time.monotonic() + 120
    while not list(store.glob("*/last-*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(store.glob("*/last-*.ckpt"))

    finished.springfield("train")
    assert len(runs(finished)) == before + 1
    assert not list(store.glob("*/*.ckpt"))
    table = pd.read_csv(finished.path / "reports/train/metrics.csv")
    assert table["epoch"].to_list() == [0, 1, 2, 3, 4]
    after = weights(finished)
    assert all(torch.equal(expected[name], after[name]) for name in expected)


def test_the_same_training_does_not_run_twice_at_once(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=30")
    process = subprocess.Popen(
        ["springfield", "train"], cwd=finished.path, env=finished.env, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list(finished.path.glob(".springfield/train/*/run.json")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "already running" in finished.springfield("train", status=1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_two_processes_train_as_one_does(finished: Project) -> None:
    """A network without batch norm, whose statistics two processes do not share on CPUs."""
    same = ("model.backbone=test_convnext", "train.precision=32-true", "train.epochs=2")
    finished.springfield("compose", *same)
    finished.springfield("train")
    alone = weights(finished)
    alone_curve = pd.read_csv(finished.path / "reports/train/metrics.csv")
    before = len(runs(finished))
    finished.springfield("compose", *same, "hardware.devices=2")
    output = finished.springfield("train")
    assert output.count("experiment tiny: train") == 1
    assert len(runs(finished)) == before + 1
    curve = pd.read_csv(finished.path / "reports/train/metrics.csv")
    for column in ("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "lr"):
        assert curve[column].to_numpy() == pytest.approx(alone_curve[column].to_numpy(), abs=1e-3)
    both = weights(finished)
    for name in alone:
        torch.testing.assert_close(both[name], alone[name], atol=2e-3, rtol=1e-2)


def test_a_loss_that_is_no_number_stops_the_training(finished: Project) -> None:
    finished.springfield("compose", "optimizer.lr=1e30", "optimizer.clip=0")
    output = finished.springfield("train", status=1)
    assert re.search(r"error: the loss is not finite since epoch 0, step \d+; lower", output)
    assert "Traceback" not in output


def test_out_of_memory_says_what_to_do(finished: Project) -> None:
    """With a limit on the process's memory, as a GPU has one."""
    finished.springfield("compose", "train.batch_size=4000", "model.input_size=224")
    limited = f"ulimit -v 9000000; exec {sys.executable} -m springfield train"
    result = finished.run("bash", "-c", limited, status=1)
    assert "error: out of memory with train.batch_size=4000" in result.stderr
    assert "train.accumulate=2" in result.stderr


def test_a_dead_loader_process_is_one_line_and_the_training_goes_on(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=30", "hardware.workers=1")
    log = finished.path / ".springfield.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["springfield", "train"], cwd=finished.path, env=finished.env, stderr=file
        )
    wait_for_epochs(finished, 2)
    workers = [p for p in psutil.Process(process.pid).children(recursive=True) if not p.children()]
    loaders = [p for p in workers if "forkserver" in " ".join(p.cmdline())]
    loaders[-1].kill()
    assert process.wait(timeout=60) == 1
    assert "error: a loader process was killed" in log.read_text()
    before = last_epoch(finished)
    finished.springfield("compose", "train.epochs=30", "hardware.workers=0")
    finished.springfield("train")
    epochs = pd.read_csv(finished.path / "reports/train/metrics.csv")["epoch"].to_list()
    assert epochs == list(range(30))
    assert before >= 1
    assert len(runs(finished)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_at_a_checkpoint_loses_no_epoch(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=4")
    store = finished.path / ".springfield/train"
    shutil.rmtree(store)
    store.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=1300k", "none", str(store))
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        output = finished.springfield("train", status=1)
        assert "error: the disk is full" in output
        reached = last_epoch(finished)
        subprocess.run(["mount", "-o", "remount,size=90m", str(store)], check=True)
        finished.springfield("train")
    finally:
        subprocess.run(["umount", str(store)], check=True)
    assert reached >= 0
    history = logged_epochs(finished)
    assert history == [0, 1, 2, 3]


def test_a_batch_that_processes_cannot_share_is_refused(finished: Project) -> None:
    finished.springfield("compose", "hardware.devices=2", "train.batch_size=15")
    output = finished.springfield("train", status=1)
    assert "train.batch_size=15 cannot be divided by 2 devices" in output
    assert len(runs(finished)) == 1
