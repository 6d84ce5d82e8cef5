"""What the server of forkserver.py runs behaves as a process of its own does."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from . import forkserver
from .conftest import BIN, Project, forked, wait

pytestmark = pytest.mark.skipif(not forkserver.AVAILABLE, reason="tests fork on Linux only")


def start(project: Project, commands: Path, *command: str) -> "subprocess.Popen[str]":
    """With pipes to it, and a variable that is no text."""
    env = {**project.env, "PATH": f"{commands}{os.pathsep}{project.env['PATH']}", "OWN": "\udcff"}
    return subprocess.Popen(
        command, cwd=project.path, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def edit(project: Project, line: str) -> None:
    """Have this project's `springfield split` do something else."""
    stage = project.path / "src/springfield/stages/split.py"
    stage.write_text(f"import atexit, multiprocessing, os, sys, threading, time\n{line}\n")


def waiting(project: Project, commands: Path) -> "tuple[subprocess.Popen[str], psutil.Process]":
    """A command that waits for something, and the process that runs it."""
    edit(project, "print('waits', os.getpid(), flush=True); time.sleep(60)")
    process = start(project, commands, "springfield", "split")
    assert process.stdout
    while not (line := process.stdout.readline()).startswith("waits"):
        assert line
    return process, psutil.Process(int(line.split()[1]))


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("", ["nothing"]),
        ("print(sys.argv, os.getcwd(), ascii(os.environ['OWN']), sys.stdin.read())", ["split"]),
        ("raise KeyError('here')", ["split"]),
        ("raise KeyError('here')", ["--debug", "split"]),
        ("sys.exit('a sentence')", ["split"]),
        ("os.kill(os.getpid(), 9)", ["split"]),
        ("atexit.register(print, 'at exit'); sys.exit(3)", ["split"]),
        ("threading.Timer(0.5, print, ['later']).start(); sys.exit(0)", ["split"]),
        ("print(os.listdir('/proc/self/fd'), threading.enumerate()); sys.exit(0)", ["split"]),
        ("multiprocessing.get_context('forkserver').Pool(1).map(print, [1])", ["split"]),
    ],
)  # fmt: skip
def test_it_prints_and_ends_as_a_process_does(
    project: Project, line: str, arguments: list[str]
) -> None:
    commands = forked()
    assert commands
    if line:
        edit(project, line)
    ends = []
    for folder in (BIN, commands):
        process = start(project, folder, "springfield", *arguments)
        printed, errors = process.communicate("typed", timeout=120)
        errors = re.sub(r'  File ".*(runpy|/forkserver\.py).*\n(    .*\n)*', "", errors)
        ends.append((process.returncode, re.sub("(started) [0-9]+", r"\1", printed), errors))
    assert ends[0] == ends[1]
    assert "".join(map(str, ends[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_it(project: Project, number: signal.Signals) -> None:
    commands = forked()
    assert commands
    ends = []
    for folder in (BIN, commands):
        process, _ = waiting(project, folder)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        ends.append((process.returncode, errors))
    assert ends[0] == ends[1]


def test_it_ends_with_its_client_or_its_server(project: Project, tmp_path: Path) -> None:
    others = forkserver.needed.copy()
    commands = forkserver.start(tmp_path / "commands", BIN, project.env)
    client, child = waiting(project, commands)
    client.kill()
    client.wait()
    wait(lambda: not child.is_running())
    client, child = waiting(project, commands)
    while len(forkserver.needed) > len(others):
        forkserver.needed.pop().close()
    assert client.wait(timeout=20) == 1
    wait(lambda: not child.is_running())
    assert not commands.exists()


def test_what_outlives_the_server_runs_the_real_command(project: Project, tmp_path: Path) -> None:
    client = tmp_path / "springfield"
    client.write_text((BIN / "springfield").read_text().splitlines()[0] + " -IS\n")
    with client.open("a") as file:
        file.write(forkserver.CLIENT.read_text())
    client.chmod(0o755)
    process = start(project, tmp_path, "springfield", "--help")
    assert "Usage: springfield" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
