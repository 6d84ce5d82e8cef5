"""Training that is stopped, in all the ways a machine has, and goes on."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from pickle import PicklingError
from zipfile import ZipFile

import psutil
import pytest
import torch
from jupyter_client.manager import KernelManager
from mlflow.tracking import MlflowClient
from PIL import Image
from torch import Tensor

from springfield.machine.resume import Checkpoints

from .conftest import Project, last_epoch, log, mlflow_server, start, trainers, wait

pytestmark = pytest.mark.slow

EPOCHS = 8
RECIPE = (f"train.epochs={EPOCHS}", "train.mixup=0.2", "train.cutmix=1.0", "model.drop_rate=0.2")
"""With all that draws at random."""


compared = pytest.mark.xdist_group("uninterrupted")
"""One process runs the tests that compare with it."""


@pytest.fixture(scope="module")
def uninterrupted(done: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights that a training with RECIPE ends with."""
    project = done.copy(tmp_path_factory.mktemp("uninterrupted") / "project")
    project.springfield("compose", *RECIPE)
    project.repro("train")
    return project.weights()


def check(project: Project, expected: dict[str, Tensor], runs: int) -> None:
    """The same weights, in one run, with each epoch once."""
    weights = project.weights()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert len(project.runs()) == runs
    for metric in ("train_loss", "val_loss", "images_per_second"):
        assert project.curve(metric) == list(range(EPOCHS))
    assert project.metrics()["epoch"].to_list() == list(range(EPOCHS))


@compared
@pytest.mark.parametrize(
    ("victim", "signal_"),
    [
        ("dvc", signal.SIGKILL),
        ("trainer", signal.SIGTERM),
        pytest.param("trainer", signal.SIGKILL, marks=pytest.mark.nightly),
        pytest.param("both", signal.SIGKILL, marks=pytest.mark.nightly),
        pytest.param("dvc", signal.SIGTERM, marks=pytest.mark.nightly),
    ],
)
def test_a_training_killed_at_a_random_moment_ends_as_if_nothing_was(
    finished: Project, uninterrupted: dict[str, Tensor], victim: str, signal_: signal.Signals
) -> None:
    runs = len(finished.runs()) + 1
    finished.springfield("compose", *RECIPE)
    # dash stays between DVC and a stage where bash does not
    dvc = start(finished, "dvc", "repro", "train", SHELL="/bin/sh")
    (trainer,) = wait(lambda: trainers(dvc))
    moment = random.uniform(2, 16)  # noqa: S311
    print(f"{moment:.2f} s")
    time.sleep(moment)
    if victim != "dvc":
        with suppress(psutil.NoSuchProcess):  # it was over
            trainer.send_signal(signal_)
    if victim != "trainer":
        dvc.send_signal(signal_)
    dvc.wait(timeout=60)
    assert not psutil.wait_procs([trainer], timeout=10)[1]
    assert "Traceback" not in log(finished)
    finished.repro("train")
    check(finished, uninterrupted, runs)


def test_a_dvc_killed_before_it_noted_a_training_does_not_repeat_it(finished: Project) -> None:
    """Also where the project was moved in between."""
    runs = len(finished.runs()) + 1
    finished.springfield("compose", "train.epochs=3")
    dvc = start(finished, "dvc", "repro", "train")
    (trainer,) = wait(lambda: trainers(dvc))
    wait(lambda: last_epoch(finished) >= 0)
    dvc.send_signal(signal.SIGSTOP)
    wait(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE)
    dvc.kill()
    dvc.wait()
    weights = finished.weights()
    project = finished.copy(finished.path.with_name("moved"))
    shutil.rmtree(finished.path)

    def again(*options: str) -> None:
        assert project.repro(*options, "train")[-1:] == ["train"]
        assert all(torch.equal(weights[name], value) for name, value in project.weights().items())
        assert project.curve("train_loss") == project.metrics()["epoch"].to_list() == [0, 1, 2]

    again()
    assert len(project.runs()) == runs
    again("--force", "--single-item")
    assert len(project.runs()) == runs + 1
    project.repro("evaluate")
    assert not list(project.path.glob(".springfield/train/*/*"))


@compared
@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_that_a_loss_of_power_cut_is_passed_over(
    finished: Project, uninterrupted: dict[str, Tensor], name: str
) -> None:
    runs = len(finished.runs()) + 1
    finished.springfield("compose", *RECIPE)
    process = start(finished, "springfield", "train")

    def newest() -> list[Path]:
        epoch = last_epoch(finished)
        return list(finished.path.glob(f".springfield/train/*/{name}-{epoch}.ckpt"))

    while True:
        wait(lambda: last_epoch(finished) >= 1 and newest())
        process.send_signal(signal.SIGSTOP)
        if cut := newest():
            break
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    os.truncate(cut[0], cut[0].stat().st_size // 2)
    output = finished.springfield("train")
    assert "is damaged: going on from the epoch before it" in output
    check(finished, uninterrupted, runs)
    assert not list(finished.path.glob(".springfield/train/*/*"))


def test_an_epoch_is_written_once_and_as_it_was(tmp_path: Path) -> None:
    """The best epoch is a link to the last one; training does not wait for the disk."""
    weights = torch.zeros(3)
    checkpoints = Checkpoints()
    for epoch in (0, 1):
        for name in ("best", "last"):
            checkpoints.save_checkpoint({"weights": weights}, tmp_path / f"{name}-{epoch}.ckpt")
        weights += 1
    checkpoints.remove_checkpoint(tmp_path / "best-0.ckpt")
    checkpoints.teardown()
    assert {path.name for path in tmp_path.iterdir()} == {
        "last-0.ckpt",
        "last-1.ckpt",
        "best-1.ckpt",
    }
    assert (tmp_path / "best-1.ckpt").samefile(tmp_path / "last-1.ckpt")
    for epoch in (0, 1):
        saved = torch.load(tmp_path / f"last-{epoch}.ckpt", weights_only=True)
        assert saved["weights"].tolist() == [epoch] * 3
    (tmp_path / "file").touch()
    checkpoints = Checkpoints()
    checkpoints.save_checkpoint({}, tmp_path / "file/last-0.ckpt")
    with pytest.raises(OSError, match="file"):
        checkpoints.teardown()


def test_other_params_start_afresh(finished: Project) -> None:
    runs = len(finished.runs())
    finished.springfield("compose", *RECIPE)
    process = start(finished, "springfield", "train")
    wait(lambda: last_epoch(finished) >= 1)
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert "error: stopped by SIGTERM; the same command goes on from the last epoch" in log(
        finished
    )
    finished.springfield("compose", "train.epochs=1")
    finished.springfield("train")
    assert finished.metrics()["epoch"].to_list() == [0]
    assert len(finished.runs()) == runs + 2


def test_two_nodes_end_together_and_go_on(finished: Project, unused_port: int) -> None:
    finished.springfield("compose", "train.epochs=15")
    runs = len(finished.runs())

    def node(address: str) -> "subprocess.Popen[bytes]":
        with (finished.path / f".log-{address}").open("w") as file:
            return subprocess.Popen(
                [
                    "torchrun",
                    "--nnodes=2",
                    "--nproc-per-node=1",
                    "--rdzv-backend=c10d",
                    f"--rdzv-endpoint=127.0.0.1:{unused_port}",
                    f"--rdzv-conf=is_host={address == '127.0.0.1'}",
                    f"--local-addr={address}",
                    "--no-python",
                    "springfield",
                    "train",
                ],
                cwd=finished.path,
                env=finished.env,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    nodes = {address: node(address) for address in ("127.0.0.1", "127.0.0.2")}
    wait(lambda: last_epoch(finished) >= 1)
    workers = psutil.Process(nodes["127.0.0.2"].pid).children()
    nodes["127.0.0.2"].kill()
    for worker in workers:
        worker.kill()
    nodes["127.0.0.2"].wait()
    assert nodes["127.0.0.1"].wait(timeout=60) != 0
    told = (finished.path / ".log-127.0.0.1").read_text()
    assert "error: another process of this training has ended" in told

    before = last_epoch(finished)
    assert before >= 1
    finished.springfield("compose", "train.epochs=15", "hardware.workers=0")
    nodes = {address: node(address) for address in nodes}
    assert [process.wait(timeout=200) for process in nodes.values()] == [0, 0]
    assert len(finished.runs()) == runs + 1
    assert finished.curve("val_loss") == list(range(15))
    assert last_epoch(finished) == 14  # so that nothing is lost before DVC knows of it
    finished.run("dvc", "commit", "-f", "train")
    assert finished.repro("evaluate") == ["evaluate"]
    assert last_epoch(finished) == -1


def test_a_slurm_job_is_queued_again_when_its_time_is_over(finished: Project) -> None:
    """SLURM itself is not here: its two commands are played."""
    commands = {
        "srun": "while [[ $1 == --* ]]; do shift; done\n"
        "export SLURM_NTASKS=1 SLURM_NTASKS_PER_NODE=1 SLURM_NNODES=1 SLURM_NODEID=0\n"
        'export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODELIST=127.0.0.1\nexec "$@"',
        "scontrol": 'echo "$@" > requeued',
        "activate": "",
    }
    folder = finished.path / ".venv/bin"
    folder.mkdir(parents=True)
    for name, text in commands.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{finished.env['PATH']}"
    runs = len(finished.runs())
    finished.springfield("compose", "train.epochs=15")

    slurm = {"PATH": path, "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}
    job = start(finished, "bash", "docs/train.sbatch", **slurm)
    wait(lambda: last_epoch(finished) >= 1)
    for process in trainers(job):
        process.terminate()
    job.terminate()
    assert job.wait(timeout=60) == 0
    assert (finished.path / "requeued").read_text() == "requeue 7\n"
    job = start(finished, "bash", "docs/train.sbatch", **slurm)
    assert job.wait(timeout=200) == 0
    assert finished.metrics()["epoch"].to_list() == list(range(15))
    assert len(finished.runs()) == runs + 1
    assert finished.repro() == []


def test_mlflow_gone_for_a_while_gets_every_epoch_once(finished: Project, unused_port: int) -> None:
    finished.springfield("compose", "train.epochs=120")
    with mlflow_server(finished, unused_port) as address:
        process = start(finished, "springfield", "train", MLFLOW_TRACKING_URI=address)
        wait(lambda: last_epoch(finished) >= 2)
    wait(lambda: last_epoch(finished) >= 30)
    with mlflow_server(finished, unused_port) as address:
        assert process.wait(timeout=240) == 0
        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("tiny")
        assert experiment
        (run,) = client.search_runs([experiment.experiment_id])
        for metric in ("val_loss", "train_loss", "waiting_share"):
            points = client.get_metric_history(run.info.run_id, metric)
            assert [point.step for point in points] == list(range(120))
        assert run.info.status == "FINISHED"
        assert {file.path for file in client.list_artifacts(run.info.run_id, "reports/train")}
    assert "training goes on, its curves follow when MLflow is back" in log(finished)


def test_mlflow_gone_for_good_costs_the_curves_and_not_the_training(
    finished: Project, unused_port: int
) -> None:
    finished.springfield("compose", "train.epochs=20")
    with mlflow_server(finished, unused_port) as address:
        process = start(finished, "springfield", "train", MLFLOW_TRACKING_URI=address)
        wait(lambda: last_epoch(finished) >= 2)
    assert process.wait(timeout=240) == 0
    told = re.search(
        r"lacks the metrics of epochs (\d+) to 19, and files; reports/train has", log(finished)
    )
    assert told
    assert int(told[1]) >= 2
    assert finished.metrics()["epoch"].to_list() == list(range(20))


def test_no_mlflow_at_the_start_is_one_line(finished: Project, unused_port: int) -> None:
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{unused_port}"}
    output = finished.springfield("train", status=1, env=env)
    assert f"error: MLflow at http://127.0.0.1:{unused_port} cannot be used" in output


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
    assert "error: out of memory with 4000 frames at once" in result.stderr
    assert "train.accumulate=2" in result.stderr


@compared
def test_a_dead_loader_process_is_one_line_and_the_training_goes_on(
    finished: Project, uninterrupted: dict[str, Tensor]
) -> None:
    runs = len(finished.runs()) + 1
    finished.springfield("compose", *RECIPE, "hardware.workers=1")
    process = start(finished, "springfield", "train")
    wait(lambda: last_epoch(finished) >= 1)
    workers = [p for p in psutil.Process(process.pid).children(recursive=True) if not p.children()]
    loaders = [p for p in workers if "forkserver" in " ".join(p.cmdline())]
    loaders[-1].kill()
    assert process.wait(timeout=60) == 1
    assert "error: a loader process was killed" in log(finished)
    assert last_epoch(finished) >= 1
    finished.springfield("train")
    check(finished, uninterrupted, runs)


@pytest.mark.parametrize(
    ("command", "signal_"),
    [
        ("springfield", signal.SIGTERM),
        ("springfield", signal.SIGKILL),
        ("dvc repro --single-item", signal.SIGKILL),
    ],
)
@pytest.mark.parametrize(
    ("stage", "works"),
    [("prepare", "data/.prepared.partial/images.arrow"), ("train", ".springfield/train/*/last-*")],
)
def test_a_killed_stage_leaves_no_process_behind(
    finished: Project, stage: str, works: str, command: str, signal_: signal.Signals
) -> None:
    """So that `| tee log` ends, too: nobody holds what was printed to."""
    finished.springfield("compose", "hardware.workers=1", "train.epochs=1000")
    _add_slow_pictures(finished)
    with subprocess.Popen(
        [*command.split(), stage], cwd=finished.path, env=finished.env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        wait(lambda: any(file.stat().st_size for file in finished.path.glob(works)))
        process.send_signal(signal_)
        try:
            process.communicate(timeout=5)
            wait(lambda: not _session(process.pid), seconds=2)
        finally:
            for left in _session(process.pid):
                left.kill()


NOTEBOOK = """
import os
from pathlib import Path
from springfield import pipeline
from springfield.config import load
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
Path(".pid").write_text(str(os.getpid()))
params = load(Path("params.yaml"))
pipeline.run(params, Paths(), Machine(params.hardware), "prepare")
"""


@pytest.mark.parametrize("kind", ["Jupyter", "Python"])
def test_a_killed_notebook_leaves_no_process_behind(finished: Project, kind: str) -> None:
    finished.springfield("compose", "hardware.workers=2")
    _add_slow_pictures(finished)
    if kind == "Jupyter":
        kernel = KernelManager()
        kernel.start_kernel(cwd=str(finished.path), env=finished.env)
        client = kernel.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute(NOTEBOOK)
    else:
        start(finished, sys.executable, "-c", "import os; os.setsid()" + NOTEBOOK)
    images = finished.path / "data/.prepared.partial/images.arrow"
    wait(lambda: images.exists() and images.stat().st_size)
    pid = int((finished.path / ".pid").read_text())
    try:
        assert len(_session(pid)) > 3  # itself, what the workers are started by, and two of them
        os.kill(pid, signal.SIGKILL)
        wait(lambda: not _session(pid), seconds=5)
    finally:
        for left in _session(pid):
            left.kill()


def _add_slow_pictures(project: Project) -> None:
    """An archive that takes prepare long."""
    picture = BytesIO()
    Image.new("RGB", (3000, 3000)).save(picture, "PNG")
    with ZipFile(project.path / "data/raw/slow.zip", "w") as archive:
        for number in range(400):
            archive.writestr(f"a/{number}.png", picture.getvalue())


def _session(leader: int) -> list[psutil.Process]:
    """The processes of a session that run; where nobody reaps the others, they stay for ever."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize(("size", "workers"), [("450k", 1), ("100k", 0)])
def test_little_shared_memory_means_fewer_loader_processes(
    finished: Project, size: str, workers: int
) -> None:
    """As in a container: Docker gives 64 MB, of which a batch of 128 frames of 299 px takes 34."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a mount of one's own is not allowed here")
    finished.springfield("compose", "hardware.workers=3", "train.epochs=3")
    mount = f"mount -t tmpfs -o size={size} none /dev/shm"
    command = f"{mount} && exec timeout 90 springfield train"
    result = finished.run("unshare", "-m", "sh", "-c", command)
    assert f"loader processes: {workers} instead of 3; /dev/shm has" in result.stderr
    assert "--shm-size" in result.stderr
    assert finished.metrics()["epoch"].to_list() == [0, 1, 2]


def test_a_best_epoch_that_cannot_be_written_is_told_by_its_cause(tmp_path: Path) -> None:
    """Not by the link to it, which cannot be made then."""
    writer = Checkpoints()
    for name in ("best-0.ckpt", "last-0.ckpt"):
        writer.save_checkpoint({"cannot be written": lambda: None}, tmp_path / name)
    with pytest.raises((AttributeError, PicklingError), match="pickle"):
        writer.save_checkpoint({}, tmp_path / "last-1.ckpt")
    writer.teardown()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_at_a_checkpoint_loses_no_epoch(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=4")
    store = finished.path / ".springfield/train"
    shutil.rmtree(store)
    store.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=20m", "none", str(store))
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
    assert finished.curve("val_loss") == [0, 1, 2, 3]
