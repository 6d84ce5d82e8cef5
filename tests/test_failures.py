"""Interrupts, a full disk, no network: one line, nothing half-written, and a clean rerun."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from .conftest import REPOSITORY, STAGES, Project

pytestmark = pytest.mark.slow

OUTS = {
    "download": "data/raw",
    "prepare": "data/prepared",
    "split": "data/split.csv",
    "augment": "data/augmented",
    "train": "models/checkpoint",
    "evaluate": "reports/metrics.json",
    "export": "models/springfield.onnx",
}


def content(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of the files in a folder."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def _heed_ctrl_c() -> None:
    """A shell's background jobs, and all that they start, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_in(project: Project, stage: str, delay: float, begun: str) -> str:
    """Run `dvc repro`, press Ctrl-C some seconds into a stage; what was printed.

    The seconds count from when there is a file like `begun`.
    """
    log = project.path / ".springfield.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["dvc", "repro"], cwd=project.path, env={**project.env, "PYTHONFAULTHANDLER": "1"},
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_heed_ctrl_c,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while f"experiment tiny: {stage}" not in log.read_text() or not any(
            project.path.glob(begun)
        ):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        try:
            assert process.wait(timeout=60) != 0, log.read_text()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGABRT)  # each says where it was
            time.sleep(5)
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(log.read_text())
    return log.read_text()


EARLY = dict.fromkeys(STAGES[1:], (0.0, "params.yaml"))
LATE = {
    "train": (0.0, ".springfield/train/*/last-0.ckpt"),
    "evaluate": (1.5, "params.yaml"),
    "export": (3.0, "params.yaml"),
}


@pytest.mark.parametrize("moments", [EARLY, LATE], ids=["early", "late"])
def test_ctrl_c_in_each_stage_leaves_nothing_half_written(
    project: Project, done: Project, moments: dict[str, tuple[float, str]]
) -> None:
    """And running it again gives what a run without interrupts gives."""
    project.repro("augment" if moments is LATE else "config")
    for stage, (delay, begun) in moments.items():
        output = interrupt_in(project, stage, delay, begun)
        assert "error: interrupted" in output, (stage, output)
        assert "Traceback" not in output, (stage, output)
        assert not list(project.path.rglob(".*.partial")), stage
        project.run("dvc", "repro", "--single-item", stage)
        assert content(project.path / OUTS[stage]) == content(done.path / OUTS[stage]), stage
    assert project.repro() in ([], ["config"])


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_in_a_callback_is_not_lost(times: int) -> None:
    """Python drops what a callback of the garbage collection raises, also an interrupt."""
    program = f"""
import signal, time, weakref
from springfield.machine.processes import heed_ctrl_c_anywhere
heed_ctrl_c_anywhere()
class Thing: pass
things = [Thing() for _ in range({times})]
callbacks = [weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT)) for thing in things]
things.clear()
print("dropped", flush=True)
time.sleep(30)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20,
        preexec_fn=_heed_ctrl_c,
    )  # fmt: skip
    assert result.stdout == "dropped\n"
    assert "KeyboardInterrupt" in result.stderr


@pytest.mark.parametrize("delay", [0.1, 0.25, 0.4, 0.6])
def test_an_interrupt_while_the_store_is_created_leaves_none_or_all(
    project: Project, delay: float
) -> None:
    create = "from springfield.tracking.run import open_run; from pathlib import Path\n"
    create += "with open_run(Path(), 'tiny', None, {}, {}): pass"
    process = subprocess.Popen(
        [sys.executable, "-c", create], cwd=project.path, env=project.env,
        preexec_fn=_heed_ctrl_c, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    store, partial = project.path / "mlflow.db", project.path / ".mlflow.db.partial"
    while not (store.exists() or partial.exists()):
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert not partial.exists()
    project.run(sys.executable, "-c", create)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_in_prepare(project: Project) -> None:
    project.springfield("compose", "data.source.sample=0.5")
    data = project.path / "data"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=13m", "none", str(data)], check=False
    )
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        (data / "unwatched").write_text("")
        project.springfield("download")
        output = project.springfield("prepare", status=1)
        assert "error: the disk is full" in output
        assert output.count("\n") <= 3
        assert {path.name for path in data.iterdir()} == {"unwatched", "raw"}
    finally:
        subprocess.run(["umount", str(data)], check=True)


def test_a_checkpoint_of_other_classes_is_told(finished: Project) -> None:
    finished.springfield("compose", "split=random", "split.classes=[ada_quill,ivo_stone]")
    finished.springfield("split")
    told = finished.springfield("evaluate", status=1)
    assert "error: the checkpoint knows other classes than the data; 'springfield train'" in told


@pytest.mark.real_processes
def test_from_an_archive_without_git_and_nothing_calls_home(
    project: Project, tmp_path: Path
) -> None:
    """A Python hook notes every connection and name look-up that leaves this machine."""
    source = tmp_path / "archive.tar"
    project.run("git", "archive", "--format=tar", "-o", str(source), "HEAD")
    unpacked = tmp_path / "unpacked"
    with tarfile.open(source) as tar:
        tar.extractall(unpacked, filter="data")
    calls = tmp_path / "calls"
    shutil.copy(REPOSITORY / "tests/no_network.py", unpacked / "src/sitecustomize.py")
    copy = Project(unpacked)
    env = {"CALLS": str(calls)}
    look_up = "import socket; socket.getaddrinfo('example.com', 80)"
    assert copy.run(sys.executable, "-c", look_up, env=env, status=None).returncode
    assert "example.com" in calls.read_text()
    calls.unlink()
    copy.run("dvc", "config", "--local", "core.no_scm", "true")
    output = copy.run("dvc", "repro", env=env).stdout
    assert "Running stage 'export'" in output
    copy.springfield("summary", env=env)
    assert not calls.exists(), calls.read_text()


def test_no_mirror_and_no_network(project: Project) -> None:
    project.springfield("use", "simpsons_cpu")
    output = project.springfield("download", status=1)
    assert "set SPRINGFIELD_MIRROR" in output
    assert not (project.path / "data/raw").exists()


@pytest.mark.parametrize(
    ("option", "traceback"), [((), False), (("--debug",), True)], ids=["plain", "debug"]
)
def test_a_traceback_is_shown_with_the_option_only(
    project: Project, option: tuple[str, ...], traceback: bool
) -> None:
    """An argument of that name, such as a picture's, is no option."""
    output = project.springfield(*option, "predict", "--", "--debug", status=1)
    assert ("Traceback" in output) is traceback
    assert "does not exist; 'dvc pull' or 'springfield pull' brings it" in output


@pytest.mark.parametrize(("end", "status"), [("sys.exit(1)", 1), ("raise KeyboardInterrupt", 130)])
def test_a_library_that_ends_with_1_was_not_interrupted(
    project: Project, end: str, status: int
) -> None:
    program = f"""
import sys
from springfield.cli import main
@main.app.command()
def leave() -> None:
    try:
        {end}
    except KeyboardInterrupt:
        sys.exit(1)  # as Lightning does
sys.argv = ["springfield", "leave"]
main.main()
"""
    result = project.run(sys.executable, "-c", program, status=status)
    assert ("interrupted" in result.stderr) is (status == 130)
