"""A training of several processes: they begin, agree and end as one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from springfield.learning.fit import ddp

from .conftest import BIN, REPOSITORY, Project, last_epoch, log, start, wait

EPOCHS = 8
RECIPE = (
    f"train.epochs={EPOCHS}",
    "train.head_epochs=1",
    "train.mixup=0.2",
    "model.drop_rate=0.2",
    "hardware.devices=2",
)


TRAIN = ("springfield", "train")


def srun(
    port: int, *ranks: Project, commands: tuple[tuple[str, ...], ...] = (TRAIN, TRAIN)
) -> list["subprocess.Popen[bytes]"]:
    """Start a process in each project, as SLURM, which is not here, does on one node."""
    job = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1",
        "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1", "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "test", "MASTER_PORT": str(port),
    }  # fmt: skip
    started = []
    for rank, project in enumerate(ranks):
        env = {**project.env, **job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        with (project.path / f".log-{rank}").open("w") as file:
            started.append(
                subprocess.Popen(
                    commands[rank], cwd=project.path, env=env, stdout=file, stderr=file
                )
            )
    return started


def ends(started: list["subprocess.Popen[bytes]"]) -> list[int]:
    """The statuses of processes; none outlives a test that fails."""
    try:
        return [process.wait(timeout=100) for process in started]
    finally:
        for process in started:
            process.kill()


def told(project: Project, rank: int) -> str:
    """What a process of `srun` printed."""
    return (project.path / f".log-{rank}").read_text()


def skypilot(project: Project, port: int) -> tuple[str, dict[str, str]]:
    """The script of docs/train.sky.yaml, and what tells it of one node with two devices."""
    activate = project.path / ".venv/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{BIN}:$PATH"\n')
    script = yaml.safe_load((REPOSITORY / "docs/train.sky.yaml").read_text())["run"]
    return script.replace("29500", str(port)), {
        "SKYPILOT_NUM_NODES": "1", "SKYPILOT_NUM_GPUS_PER_NODE": "2", "SKYPILOT_NODE_RANK": "0",
        "SKYPILOT_NODE_IPS": "127.0.0.1",
    }  # fmt: skip


def kubeflow(project: Project, port: int) -> tuple[str, dict[str, str]]:
    """The command of docs/train.trainjob.yaml, and what tells its torchrun of two devices."""
    job = yaml.safe_load((REPOSITORY / "docs/train.trainjob.yaml").read_text())
    *shell, script = job["spec"]["trainer"]["command"]
    assert shell == ["sh", "-c"]
    return script, {
        "PET_NNODES": "1", "PET_NPROC_PER_NODE": "2", "PET_NODE_RANK": "0",
        "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port),
    }  # fmt: skip


@pytest.mark.slow
def test_processes_of_slurm_train_together(finished: Project, unused_port: int) -> None:
    before = len(finished.runs())
    assert ends(srun(unused_port, finished, finished)) == [0, 0]
    assert len(finished.runs()) == before + 1
    assert finished.curve("val_loss") == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [skypilot, kubeflow])
def test_processes_of_a_cluster_train_together(
    finished: Project,
    launcher: Callable[[Project, int], tuple[str, dict[str, str]]],
    unused_port: int,
) -> None:
    before = len(finished.runs())
    script, env = launcher(finished, unused_port)
    command = ("bash", "-euc", script.replace("/project", str(finished.path)))
    finished.run(*command, env=env)
    assert len(finished.runs()) == before + 1
    assert finished.curve("val_loss") == [0, 1]
    finished.springfield("compose", "train.batch_size=31")
    assert "31 cannot be divided by 2 devices" in finished.run(*command, env=env, status=1).stderr


@pytest.mark.slow
def test_what_one_signal_stopped_goes_on_where_the_first_process_says(
    finished: Project, unused_port: int
) -> None:
    """The second sees a newer checkpoint, as where a shared disk lists it late."""
    finished.springfield("compose", *RECIPE)
    expected = finished.copy(finished.path.with_name("uninterrupted"))
    expected.springfield("train")
    ranks = srun(unused_port, finished, finished)
    wait(lambda: last_epoch(finished) >= 1)
    ranks[1].terminate()
    assert ends(ranks) == [143, 143]
    assert "error: stopped by SIGTERM; the same command goes on" in told(finished, 0)
    assert "error" not in told(finished, 1)

    ahead = finished.copy(finished.path.with_name("ahead"))
    for file in finished.path.glob(f".springfield/train/*/*-{last_epoch(finished)}.ckpt"):
        file.unlink()
    assert last_epoch(finished) < last_epoch(ahead)
    assert ends(srun(unused_port, finished, ahead)) == [0, 0]
    weights = finished.weights()
    assert all(torch.equal(weights[name], value) for name, value in expected.weights().items())
    assert finished.metrics().equals(expected.metrics())
    assert finished.curve("val_loss") == list(range(EPOCHS))


@pytest.mark.slow
def test_sigterm_to_the_first_process_ends_the_one_it_started(finished: Project) -> None:
    finished.springfield("compose", "train.epochs=1000", "hardware.devices=2")
    process = start(finished, "springfield", "train")
    wait(lambda: last_epoch(finished) >= 1)
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert log(finished).count("error:") == 1
    assert "error: stopped by SIGTERM" in log(finished)


@pytest.mark.slow
def test_processes_with_other_data_do_not_begin(finished: Project, unused_port: int) -> None:
    other = finished.copy(finished.path.with_name("other"))
    split = other.path / "data/split.csv"
    split.write_text("".join(split.read_text().splitlines(keepends=True)[:-1]))
    assert ends(srun(unused_port, finished, other)) == [1, 1]
    assert f"error: process 1 on {os.uname().nodename} has not the data of" in told(finished, 0)
    assert "error" not in told(other, 1)


@pytest.mark.slow
def test_a_process_that_does_not_see_the_checkpoint_is_an_error(
    finished: Project, unused_port: int
) -> None:
    """As on a machine where the disk is not mounted."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a mount of one's own is not allowed here")
    finished.springfield("compose", "train.epochs=1000")
    process = start(finished, "springfield", "train")
    wait(lambda: last_epoch(finished) >= 1)
    process.terminate()
    process.wait()
    hidden = "mount -t tmpfs none .springfield/train && exec springfield train"
    commands = (TRAIN, ("unshare", "-m", "sh", "-c", hidden))
    assert ends(srun(unused_port, finished, finished, commands=commands)) == [1, 1]
    assert "has not the checkpoint of process 0" in told(finished, 0)
    assert "error" not in told(finished, 1)


TORCHRUN = {"TORCHELASTIC_RUN_ID": "7", "RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}
SLURM = {
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1",
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "test",
}  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "env", "message"),
    [
        (2, {**SLURM, "SLURM_NTASKS": "1"}, "call it with srun --nodes=1 --ntasks-per-node=2"),
        (
            1,
            {**SLURM, "SLURM_NTASKS": "2"},
            "with srun --nodes=1 --ntasks-per-node=2",
        ),
        (
            1,
            {**SLURM, "SLURM_NTASKS": "3", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"},
            "3 processes on 2 nodes, but 2 on this one: start the same number on each",
        ),
        (
            2,
            {**TORCHRUN, "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "1"},
            "call it with torchrun --nnodes=1 --nproc-per-node=2, or set hardware.devices=1",
        ),
        (
            1,
            {**TORCHRUN, "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "1", "GROUP_WORLD_SIZE": "2"},
            "with torchrun --nnodes=2 --nproc-per-node=2",
        ),
        (1, {"WORLD_SIZE": "2"}, "WORLD_SIZE=2 of the environment does not fit hardware.devices=1"),
    ],
)
def test_a_number_of_processes_that_does_not_fit_is_an_error_at_once(
    finished: Project, devices: int, env: dict[str, str], message: str, unused_port: int
) -> None:
    finished.springfield("compose", f"hardware.devices={devices}")
    env = {**env, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(unused_port)}
    output = finished.springfield("train", status=1, env=env)
    assert message in " ".join(output.split())
    assert output.count("error:") == 1
    assert "Traceback" not in output


@pytest.mark.slow
def test_unused_parameters_are_not_looked_for(finished: Project) -> None:
    """PyTorch warns where that is asked for in vain, as when the head has learnt first."""
    finished.springfield("compose", "train.head_epochs=1", "hardware.devices=2")
    assert "find_unused_parameters" not in finished.springfield("--debug", "train")
    assert finished.metrics()["epoch"].to_list() == [0, 1]


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_statistics_that_all_share_are_not_sent_at_each_step(norm: type[nn.Module]) -> None:
    strategy = ddp(nn.Sequential(nn.Conv2d(3, 4, 1), norm(4)))
    assert strategy._ddp_kwargs["forward_sync_buffers"] == (norm is nn.BatchNorm2d)


def test_what_loader_processes_need_is_imported_once_for_all(tmp_path: Path) -> None:
    (tmp_path / "needed.py").write_text("import os\n\nprint(os.getpid())\n")
    (tmp_path / "use.py").write_text("def use():\n    import needed\n")
    start = (
        "from springfield.machine.processes import worker_context\n"
        "from use import use\n"
        "processes = [worker_context('needed').Process(target=use) for _ in range(2)]\n"
        "for process in processes:\n"
        "    process.start()\n"
        "for process in processes:\n"
        "    process.join()\n"
    )
    path = os.pathsep.join(map(str, [tmp_path, REPOSITORY / "src"]))
    done = subprocess.run(
        [sys.executable, "-c", start],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert len(done.stdout.split()) == 1
