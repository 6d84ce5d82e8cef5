"""Projects to run commands in: copies of this repository, with an experiment that takes seconds."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
import psutil
import pytest
import torch
import yaml
from filelock import FileLock
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file
from torch import Tensor

from . import forkserver

torch.set_num_threads(1)  # threads of several processes get in each other's way
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
GIT = shutil.which("git")
SHARED = Path(os.environ.get("SPRINGFIELD_MIRROR") or REPOSITORY / "../shared").resolve()
TINY = """# @package _global_
defaults:
  - override /data: sample
  - override /model: resnet10t
  - override /train: scratch
  - override /hardware: cpu
experiment: tiny
data: {source: {sample: 0.1}}
prepare: {shorter_side: 48}
augment: {offline: {floor: 8}}
model: {backbone: test_resnet, input_size: 32}
train: {epochs: 2, batch_size: 16, ema: 0.9}
evaluate: {baseline: false}
export: {calibration: 8}
"""


def experiments(task: str) -> list[Path]:
    """The files of a task's experiments, also of those that build on others."""

    def whole(path: Path) -> str:
        text = path.read_text()
        bases = re.findall(r"^  - (\w+)$", text, re.MULTILINE)
        return text + "".join(whole(path.with_stem(base)) for base in bases)

    files = sorted((REPOSITORY / "conf/experiment").glob("*.yaml"))
    named = {path: re.search(r"/task: (\w+)", whole(path)) for path in files}
    return [path for path, found in named.items() if (found or ["", "classification"])[1] == task]


@dataclass(frozen=True)
class Project:
    """A copy of this repository."""

    path: Path

    def run(
        self,
        *command: str,
        status: int | None = 0,
        env: dict[str, str] | None = None,
        stdin: Path | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in it; fail unless it ends with `status` (None: any).

        A server that has imported the libraries runs it, and the stages, unless the test is marked
        `real_processes`. What a test starts in other ways, to send signals to it, is real.
        """
        env = {**self.env, **(env or {})}
        if command[0] in FORKED and (commands := forked()):
            env["PATH"] = f"{commands}{os.pathsep}{env['PATH']}"
        with open(stdin or os.devnull) as file:
            result = subprocess.run(
                command,
                cwd=self.path,
                env=env,
                stdin=file,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
        if status is not None:
            assert result.returncode == status, f"{result.stdout}\n{result.stderr}"
        return result

    @property
    def env(self) -> dict[str, str]:
        """The environment of a user of this copy: its code, no mirror, its own MLflow store."""
        hidden = ("SPRINGFIELD_MIRROR", "MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE")
        env = {key: value for key, value in os.environ.items() if key not in hidden}
        path = f"{BIN}{os.pathsep}{env['PATH']}"
        # DVC's site cache would outlive the copy; threads of two pipelines get in each other's way.
        own = {"DVC_SITE_CACHE_DIR": str(self.path / ".springfield/site"), "OMP_NUM_THREADS": "1"}
        code = f"{self.path / 'src'}{os.pathsep}{REPOSITORY / 'src'}"  # a folder may have none
        return {**env, **own, "COLUMNS": "200", "PATH": path, "PYTHONPATH": code}

    def springfield(
        self, *arguments: str, status: int | None = 0, env: dict[str, str] | None = None
    ) -> str:
        """What the `springfield` command prints."""
        result = self.run("springfield", *arguments, status=status, env=env)
        return result.stdout + result.stderr

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro`; the stages whose command ran."""
        output = self.run("dvc", "repro", *arguments).stdout
        marker = "Running stage '"
        return [
            line.removeprefix(marker).rstrip("':")
            for line in output.splitlines()
            if line.startswith(marker)
        ]

    def runs(self) -> list[Run]:
        """The runs in its MLflow store, oldest first."""
        client = MlflowClient(self.store)
        experiment = client.get_experiment_by_name("tiny")
        assert experiment
        return list(client.search_runs([experiment.experiment_id], order_by=["start_time"]))

    def curve(self, metric: str) -> list[int]:
        """The steps of a metric of its newest run, as often as they are there.

        What a training that was killed did not send any more is sent at the end: the steps of the
        history need not come in order.
        """
        run_id = self.runs()[-1].info.run_id
        history = MlflowClient(self.store).get_metric_history(run_id, metric)
        return sorted(point.step for point in history)

    @property
    def store(self) -> str:
        """Its MLflow store."""
        return f"sqlite:///{self.path / 'mlflow.db'}"

    def metrics(self) -> pd.DataFrame:
        """What its last training logged, an epoch a row."""
        return pd.read_csv(self.path / "reports/train/metrics.csv")

    def weights(self) -> dict[str, Tensor]:
        """Of its checkpoint."""
        return load_file(self.path / "models/checkpoint/model.safetensors")

    def commit(self, message: str = "change") -> None:
        """Commit everything, where there is Git."""
        if not GIT:
            return
        self.run("git", "add", "-A")
        author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        self.run("git", *author, "commit", "-q", "--allow-empty", "-m", message)

    def copy(self, path: Path) -> "Project":
        """A copy of this copy, with its caches."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)


def _new_project(path: Path) -> Project:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = GIT and subprocess.run(
        listing, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed and listed.returncode == 0:
        names = listed.stdout.split("\0")
    else:  # a source archive, or a machine without Git
        sources = (
            "src",
            "conf",
            "data",
            ".dvc",
            "reports",
            "tests",
            "benchmarks",
            "notebooks",
            "web",
        )
        inside = [file for top in sources for file in (REPOSITORY / top).rglob("*")]
        names = [str(p.relative_to(REPOSITORY)) for p in (*inside, *REPOSITORY.glob("*"))]
        written = (
            "data/raw", "data/prepared", "data/augmented", "data/split.csv", ".dvc/cache",
            "web/node_modules",
        )  # fmt: skip
        names = [n for n in names if not n.startswith((*written, ".dvc/tmp", ".dvc/config.local"))]
    for name in filter(None, names):
        if (REPOSITORY / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, path / name)
    (path / "conf/experiment/tiny.yaml").write_text(TINY)
    project = Project(path)
    if GIT:
        project.run("git", "init", "-q")
    else:
        project.run("dvc", "config", "--local", "core.no_scm", "true")
    project.springfield("use", "tiny")
    project.commit("start")
    return project


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """While one process makes `done`, the other starts with tests that need none of it.

    The long ones are not left to the end, where one process would wait for the other.
    """
    uses = [item for item in items if "done" in getattr(item, "fixturenames", ())]
    others = [item for item in items if item not in uses]
    rest = sorted([*others, *uses[1:]], key=lambda item: item.get_closest_marker("slow") is None)
    items[:] = uses[:1] + rest


FORKED = (*forkserver.COMMANDS, "jupyter")
"""Commands, or what starts them; a shell may set limits, and launchers are about processes."""


class _Forks:
    """Of what `Project.run` runs."""

    wanted = True
    note = Path()
    commands: Path | None = None


def forked() -> Path | None:
    """The folder of the commands that the server in forkserver.py runs."""
    if not (_Forks.wanted and forkserver.AVAILABLE):
        return None
    if _Forks.commands is None:
        env = {key: value for key, value in Project(Path()).env.items() if key != "PYTHONPATH"}
        with FileLock(f"{_Forks.note}.lock"):
            _Forks.commands = forkserver.start(_Forks.note, BIN, env)
    return _Forks.commands


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Those that look at a clock run alone: no worker runs another one meanwhile."""
    kind = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with Path(__file__).open() as room, (REPOSITORY / "pyproject.toml").open() as door:
        fcntl.flock(door, fcntl.LOCK_EX)  # who waits for all others to leave lets nobody in
        fcntl.flock(room, kind)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of this run of the tests."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def _one_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    _Forks.note = _shared(tmp_path_factory) / "commands"


@pytest.fixture(autouse=True)
def _real_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test wants them; what more than one test uses is made without."""
    _Forks.wanted = request.node.get_closest_marker("real_processes") is None
    yield
    _Forks.wanted = True


@pytest.fixture(scope="session")
def _fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return _new_project(tmp_path_factory.mktemp("fresh") / "project")


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory, _fresh: Project) -> Project:
    """A project whose pipeline ran; tests must not change it."""
    folder = _shared(tmp_path_factory)
    project, complete = Project(folder / "done"), folder / "complete"
    with FileLock(folder / "done.lock"):
        if not complete.exists():
            _fresh.copy(project.path)
            assert project.repro() == STAGES
            project.commit("results")
            complete.touch()
    return project


@pytest.fixture
def project(tmp_path: Path, _fresh: Project) -> Project:
    """A project in which nothing ran yet."""
    return _fresh.copy(tmp_path / "project")


@pytest.fixture
def finished(tmp_path: Path, done: Project) -> Project:
    """A project whose pipeline ran, to change at will."""
    return done.copy(tmp_path / "project")


@pytest.fixture
def unused_port() -> int:
    """A port of the loopback address that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


STAGES = list(yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"])


T = TypeVar("T")


def wait(until: Callable[[], T], seconds: float = 120) -> T:
    """Until something holds; what it was then."""
    deadline = time.monotonic() + seconds
    while not (value := until()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


@contextmanager
def mlflow_server(project: Project, port: int) -> Iterator[str]:
    """A server with a store of its own, killed at the end."""
    command = ("mlflow", "server", "--port", str(port), "--workers", "1")
    store = ("--backend-store-uri", f"sqlite:///{project.path / 'server.db'}")
    artifacts = ("--artifacts-destination", str(project.path / "artifacts"))
    with (project.path / ".server.log").open("w") as file:
        process = subprocess.Popen(
            [*command, *store, *artifacts],
            cwd=project.path,
            env={**project.env, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(f"{address}/health").read())
        except OSError:
            return False

    try:
        wait(answers)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_epoch(project: Project) -> int:
    """The newest epoch that a stopped training can go on from; -1: none."""
    saved = project.path.glob(".springfield/train/*/last-*.ckpt")
    return max((int(path.stem.split("-")[1]) for path in saved), default=-1)


def start(project: Project, *command: str, **env: str) -> "subprocess.Popen[bytes]":
    """Start a command in a project, its output in the project's `.log`."""
    with (project.path / ".log").open("w") as log:
        return subprocess.Popen(
            command, cwd=project.path, env={**project.env, **env}, stdout=log, stderr=log
        )


def log(project: Project) -> str:
    """What `start` printed."""
    return (project.path / ".log").read_text()


def trainers(dvc: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The training that a DVC started, if it did by now."""
    children = psutil.Process(dvc.pid).children(recursive=True)
    return [p for p in children if p.cmdline()[-1:] == ["train"]]
