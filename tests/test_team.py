"""A team's server, set up and used with the commands of docs/team.md."""

import getpass
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from .conftest import BIN, REPOSITORY, Project, last_epoch, log, start, trainers, wait

pytestmark = [pytest.mark.slow, pytest.mark.real_processes]  # another HOME

PAGE = REPOSITORY / "docs/team.md"
DEBIAN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
PATH = os.pathsep.join([str(BIN), os.environ["PATH"], *DEBIAN, "/usr/sbin"])
ADMIN_PASSWORD, PASSWORD = "admin's password", "a member's password"
EPOCHS = 60


def program(name: str) -> str:
    """Where it is; the test is skipped without it."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def commands(heading: str) -> list[str]:
    """What docs/team.md says to type under a heading."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.sub(r"\\\n\s*", "", section).splitlines()
    found = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert found
    return found


def file_lines(start: str) -> str:
    """What docs/team.md says to write into a file."""
    found = re.search(rf"^```\n({re.escape(start)}.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found
    return found[1]


class Server:
    """The `server` of docs/team.md: its account's folder is `folder`, its name 127.0.0.1."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        # A socket in a folder of its own stands for the one of Debian's service.
        self._socket = folder / "postgresql"
        self._socket.mkdir()
        self._as_account: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._as_account = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            os.chown(self._socket, 65534, 65534)
        self._postgres(
            program("initdb"), "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"
        )
        self._mlflow: subprocess.Popen[bytes] | None = None

    def _postgres(self, *command: str) -> None:
        data = f"--pgdata={self._socket / 'data'}"
        subprocess.run(
            [*self._as_account, *command, data], check=True, capture_output=True, cwd=self._socket
        )

    def start_database(self) -> None:
        """What Debian's service does."""
        options = f"--options=-k {self._socket} -c listen_addresses="
        log_file = f"--log={self._socket / 'log'}"
        self._postgres(program("pg_ctl"), "start", "--wait", options, log_file)

    def stop_database(self) -> None:
        """As a crash would."""
        self._postgres(program("pg_ctl"), "stop", "--mode=immediate")

    def type(self, *lines: str) -> "subprocess.Popen[bytes]":
        """Start commands in its account's shell."""
        here = {
            "/srv/springfield": str(self.folder),
            "--host 0.0.0.0 --port 5000": f"--host 127.0.0.1 --port {self._port}",
            "server:5000": f"127.0.0.1:{self._port}",
            "sudo -u postgres ": "PGUSER=postgres ",
        }
        script = "\n".join(lines)
        for there, replacement in here.items():
            script = script.replace(there, replacement)
        own = {
            "PATH": PATH,
            "PGHOST": str(self._socket),
            "PGUSER": "springfield",
            "MLFLOW_WORKERS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (self.folder / "log").open("a") as file:
            return subprocess.Popen(
                ["bash", "-c", script],
                cwd=REPOSITORY,
                env={**os.environ, **own},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def run(self, *lines: str) -> None:
        """Run commands in its account's shell."""
        assert self.type("set -e", *lines).wait(timeout=120) == 0, self.log()

    def start_mlflow(self, admin_password: str = "") -> None:
        """Wait until it answers."""
        installed = [line for line in commands("The server") if not line.startswith("sudo")]
        self._mlflow = self.type(*installed)
        assert self._mlflow.stdin
        self._mlflow.stdin.write(f"{admin_password}\n".encode())
        self._mlflow.stdin.close()

        def answers() -> bool:
            assert self._mlflow
            assert self._mlflow.poll() is None, self.log()
            try:
                return bool(urllib.request.urlopen(f"{self.address}/health").read())
            except OSError:
                return False

        wait(answers, 240)

    def stop_mlflow(self) -> None:
        """As a crash would."""
        if self._mlflow:
            os.killpg(self._mlflow.pid, signal.SIGKILL)
            self._mlflow.wait()
            self._mlflow = None

    def log(self) -> str:
        """What its commands printed."""
        return (self.folder / "log").read_text()


@pytest.fixture
def server(unused_port: int) -> Iterator[Server]:
    """The database and MLflow."""
    for name in ("initdb", "pg_ctl", "createuser", "createdb", "pg_dump", "pg_restore", "openssl"):
        program(name)
    with tempfile.TemporaryDirectory() as name:  # short enough for a socket's path
        Path(name).chmod(0o755)
        server = Server(Path(name), unused_port)
        server.start_database()
        try:
            server.run(*(line for line in commands("The server") if "-u postgres" in line))
            server.start_mlflow(ADMIN_PASSWORD)
            yield server
        finally:
            server.stop_mlflow()
            with suppress(subprocess.CalledProcessError):
                server.stop_database()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a member of the team."""
    home = tmp_path / "ann"
    home.mkdir()
    (home / ".cache").symlink_to(Path.home() / ".cache")
    (home / ".gitconfig").write_text("[user]\nname = ann\nemail = ann@example.com\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


def sign_up(server: Server, name: str) -> None:
    """Fill in MLflow's form for a new account, as admin."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    admin = b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode()
    browser.addheaders = [("Authorization", f"Basic {admin}")]
    form = browser.open(f"{server.address}/signup").read().decode()
    token = re.search(r'name="csrf_token" value="(.+?)"', form)
    assert token
    filled = {"csrf_token": token[1], "username": name, "password": PASSWORD}
    action = f"{server.address}/api/2.0/mlflow/users/create-ui"
    browser.open(action, urlencode(filled).encode()).close()


def be(home: Path, name: str, password: str = PASSWORD) -> None:
    """Have `home` be that of this member."""
    (home / ".mlflow").mkdir(exist_ok=True)
    text = file_lines("[mlflow]").replace("ann", name).replace("...", password)
    (home / ".mlflow/credentials").write_text(text)


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def train_while_the_server_is_away(project: Project, server: Server) -> None:
    """With two processes; the database goes first, then MLflow, and both come back."""
    project.springfield("compose", f"train.epochs={EPOCHS}", "hardware.devices=2")
    dvc = start(project, "dvc", "repro", MLFLOW_TRACKING_URI=server.address)
    wait(lambda: last_epoch(project) >= 1, 240)
    server.stop_database()
    wait(lambda: "does not answer: training goes on" in log(project))
    reached = last_epoch(project)
    wait(lambda: last_epoch(project) > reached)
    server.stop_mlflow()
    processes = trainers(dvc)
    assert len(processes) == 2
    with frozen(processes):  # it must not end before they are back
        server.start_database()
        server.start_mlflow()
    assert last_epoch(project) < EPOCHS - 1
    assert dvc.wait(timeout=600) == 0, log(project)


def check_run(project: Project, server: Server, downloads: Path) -> None:
    """One run, with every epoch once, the scores, and the files."""
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    for metric in ("train_loss", "val_loss", "images_per_second"):
        points = client.get_metric_history(run.info.run_id, metric)
        assert [point.step for point in points] == list(range(EPOCHS))
    scores = json.loads((project.path / "reports/metrics.json").read_text())
    assert run.data.metrics["test_accuracy"] == scores["test"]["accuracy"]
    downloads.mkdir(exist_ok=True)
    for file in (
        "params.yaml",
        "reports/train/metrics.csv",
        "reports/evaluate/curves.png",
        "reports/evaluate/mistakes.html",
    ):
        copy = Path(client.download_artifacts(run.info.run_id, file, str(downloads)))
        assert copy.read_bytes() == (project.path / file).read_bytes()


def check_pull(project: Project, server: Server, elsewhere: Project) -> None:
    """The registered model reaches a folder without a repository."""
    elsewhere.path.mkdir(exist_ok=True)
    env = {"MLFLOW_TRACKING_URI": server.address}
    elsewhere.springfield("pull", "--alias", "challenger", env=env)
    project.springfield("promote", "--force", env=env)
    elsewhere.springfield("pull", env=env)
    for name in ("springfield.onnx", "springfield.int8.onnx", "model.json", "README.md"):
        pulled = elsewhere.path / "models" / name
        assert pulled.read_bytes() == (project.path / "models" / name).read_bytes()
        pulled.unlink()


def check_refusals(project: Project, server: Server, home: Path) -> None:
    """Another address, a wrong password, a member who deletes."""
    localhost = server.address.replace("127.0.0.1", "localhost")
    output = project.springfield("train", status=1, env={"MLFLOW_TRACKING_URI": localhost})
    assert re.search(r"error: MLflow at .* cannot be used: .*Invalid Host header", output)
    be(home, "ann", "another password")
    output = project.springfield("train", status=1, env={"MLFLOW_TRACKING_URI": server.address})
    assert re.search(r"error: MLflow at .* cannot be used: .* 401 ", output)
    assert "Traceback" not in output
    output = project.springfield("pull", status=1, env={"MLFLOW_TRACKING_URI": server.address})
    assert re.fullmatch(r"error: http://.* 401 .*\n", output)

    be(home, "bob")
    client = MlflowClient(server.address)
    run_id = json.loads((project.path / "reports/run.json").read_text())["run_id"]
    client.set_tag(run_id, "seen", "by bob")
    with pytest.raises(MlflowException, match="Permission denied"):
        client.delete_run(run_id)


def lose_everything_and_restore(server: Server) -> None:
    dump, restore = commands("Backup")[:2], commands("Backup")[2:]
    (server.folder / "dvc").mkdir()
    server.run(*dump)
    server.stop_mlflow()
    (server.folder / "dvc").rmdir()
    shutil.rmtree(server.folder / "artifacts")
    server.run("PGUSER=postgres dropdb springfield", *restore)
    assert (server.folder / "dvc").is_dir()
    server.start_mlflow()


def test_a_team_trains_on_a_server_that_loses_nothing(
    server: Server, home: Path, finished: Project, tmp_path: Path
) -> None:
    for name in ("ann", "bob"):
        sign_up(server, name)
    be(home, "ann")
    train_while_the_server_is_away(finished, server)
    check_run(finished, server, tmp_path / "downloads")
    check_pull(finished, server, Project(tmp_path / "elsewhere"))
    check_refusals(finished, server, home)
    lose_everything_and_restore(server)
    be(home, "ann")
    check_run(finished, server, tmp_path / "restored")
    check_pull(finished, server, Project(tmp_path / "elsewhere"))


def add_key(home: Path, name: str, authorized_keys: Path) -> None:
    """Give a key of `home` to the server, in the line of docs/team.md."""
    public = (home / f".ssh/{name}.pub").read_text()
    line = re.sub(r"ssh-ed25519 .*\n", lambda _: public, file_lines("restrict"))
    with authorized_keys.open("a") as file:
        file.write(line)


@pytest.fixture
def ssh_server(home: Path, tmp_path: Path, unused_port: int) -> Iterator[Path]:
    """The folder of the account that OpenSSH's server lets in, on `unused_port`."""
    sshd, keygen = program("sshd"), program("ssh-keygen")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # as Debian's service would
    folder = tmp_path / "server"
    (folder / ".ssh").mkdir(parents=True)
    (home / ".ssh").mkdir()
    for key in (folder / "host_key", home / ".ssh/id_ed25519", home / ".ssh/springfield"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    settings = {
        "Port": unused_port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / ".ssh/authorized_keys",
        "Subsystem": "sftp internal-sftp",
        "PidFile": "none",
        "StrictModes": "no",  # /tmp belongs to all
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", unused_port)) == 0

    with (folder / "log").open("w") as file:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stderr=file)
    try:
        wait(listens)
        yield folder
    finally:
        process.terminate()
        process.wait()


def outputs(project: Project) -> dict[str, bytes]:
    """All files that DVC keeps."""
    listed = project.run("dvc", "ls", ".", "--recursive", "--dvc-only").stdout.split()
    return {name: (project.path / name).read_bytes() for name in listed}


def test_outputs_reach_another_clone_by_ssh(
    ssh_server: Path, unused_port: int, home: Path, finished: Project, tmp_path: Path
) -> None:
    def type_(project: Project, line: str, status: int = 0) -> str:
        line = line.replace("springfield@server", f"{getpass.getuser()}@127.0.0.1:{unused_port}")
        line = line.replace("/srv/springfield", str(ssh_server))
        result = project.run("bash", "-c", line, status=status)
        return result.stdout + result.stderr

    *share, pull, keyfile = commands("Data and outputs")
    authorized_keys = ssh_server / ".ssh/authorized_keys"
    add_key(home, "id_ed25519", authorized_keys)
    for line in share:
        type_(finished, line)

    other = Project(tmp_path / "elsewhere/project")
    finished.run("git", "clone", "-q", str(finished.path), str(other.path))
    type_(other, keyfile)
    assert "Permission denied" in type_(other, pull, status=1)
    add_key(home, "springfield", authorized_keys)
    type_(other, pull)
    assert outputs(other) == outputs(finished)
    assert "models/springfield.onnx" in outputs(other)
    assert other.repro() == []

    model = finished.path / "models/springfield.onnx"
    digest = hashlib.md5(model.read_bytes(), usedforsecurity=False).hexdigest()
    kept = ssh_server / "dvc/files/md5" / digest[:2] / digest[2:]
    kept.chmod(0o644)
    kept.write_bytes(bytes(kept.stat().st_size))
    shutil.rmtree(other.path / ".dvc/cache")
    (other.path / "models/springfield.onnx").unlink()
    type_(other, pull, status=1)
    assert not (other.path / "models/springfield.onnx").exists()
