"""A server that has imported the libraries, and forks for each command of a test.

A `springfield` process spends most of its time on imports. Where a test only wants to know what a
command does, forkclient.py takes the place of the command and has this server run it. The server
never imports `springfield`: a child imports the code of the project that it runs in.

What libraries read from the environment when they are imported is read here, once; and Python's
hashes of strings are the same in all children. So tests about processes, or about doing the same
thing twice, use real processes: `@pytest.mark.real_processes`.
"""

import ast
import atexit
import ctypes
import gc
import importlib
import io
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("springfield", "dvc")
CLIENT = Path(__file__).with_name("forkclient.py")
SOURCES = Path(__file__).parents[1] / "src/springfield"
LAZY = (
    "alembic.command",
    "dvc.cli.parser",
    "dvc.repo",
    "dvc_http",
    "git",
    "matplotlib.backends.backend_agg",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.system_metrics.system_metrics_monitor",
    "mlflow.tracing.processor.otel",
    "networkx",
    "onnx.reference",
    "pyarrow.pandas_compat",
    "scmrepo.git",
    "sqlalchemy.dialects.sqlite",
    "torch.export._trace",
    "torch.onnx._internal.exporter._core",
    "typer.rich_utils",
)
"""Modules that libraries import when they are used; without them it only takes longer."""
READ_AT_IMPORT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "KINETO_LOG_LEVEL": "99",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    # These two keep libraries from starting threads, which a fork would lose.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Beside what the tests' projects set."""
# Linux: elsewhere it is not safe to fork after such imports. A socket's path is short.
AVAILABLE = sys.platform == "linux" and len(tempfile.gettempdir()) < 80

needed: list[socket.socket] = []
"""As long as a process of tests has such a connection, the server stays."""
_status: list[int] = []
"""What a child ends with."""


def start(note: Path, commands: Path, env: dict[str, str]) -> Path:
    """A folder with commands that a server runs, which ends with the last process that called this.

    Args:
        note: Where that folder is written down. Only who holds a lock on it may call this.
        commands: The folder of the real ones.
        env: What libraries read when they are imported.
    """
    if note.exists() and _connect(Path(note.read_text())):
        return Path(note.read_text())
    folder = Path(tempfile.mkdtemp(prefix="springfield-"))
    for name in COMMANDS:
        (folder / name).write_text(f"#!{sys.executable} -IS\n{CLIENT.read_text()}")
        (folder / name).chmod(0o755)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(commands)], cwd="/", env=env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    while not _connect(folder):
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    note.write_text(str(folder))
    return folder


def _connect(folder: Path) -> bool:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / "socket"))
    except OSError:
        connection.close()
        return False
    needed.append(connection)
    return True


def preload() -> None:
    """Import whatever is imported anywhere in the package, except the package itself."""
    imports = {
        ast.unparse(node)
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for statement in sorted(imports):
        if "springfield" not in statement:
            with suppress(ImportError):  # an extra that is not installed
                exec(statement, {})  # noqa: S102
    for name in LAZY:
        with suppress(ImportError):
            importlib.import_module(name)
    assert "springfield" not in sys.modules
    assert len(os.listdir("/proc/self/task")) == 1, "a library started a thread"
    gc.collect()
    gc.freeze()  # looking for garbage in it would copy it into each child


@dataclass(frozen=True)
class Request:
    """What a client wants to be run."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    stdio: list[int]


class Server:
    """Forks, and tells each client how its child ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._silent: dict[int, socket.socket] = {}  # did not ask for anything, or not yet
        self._running: dict[int, tuple[int, socket.socket]] = {}  # children, by descriptor
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)

    def serve(self) -> Request | None:
        """In a child: what it is to run. In the server: None, when nobody needs it any more."""
        while True:
            number = self._poll.poll()[0][0]
            if number == self._listener.fileno():
                connection = self._listener.accept()[0]
                self._silent[connection.fileno()] = connection
                self._poll.register(connection, select.POLLIN)
            elif number in self._running:
                self._tell(number)
            elif number in self._silent:
                connection = self._silent.pop(number)
                if request := _received(connection):
                    if self._fork(connection, request):
                        return request
                    continue
                self._poll.unregister(number)
                connection.close()
                if not self._silent:
                    return None
            else:  # a client has ended, so its command does
                self._poll.unregister(number)
                for child, connection in self._running.values():
                    if connection.fileno() == number:
                        _kill(child)

    def _fork(self, connection: socket.socket, request: Request) -> bool:
        child = os.fork()
        if child == 0:
            for descriptor, (_, other) in self._running.items():
                os.close(descriptor)
                other.close()
            for other in (self._listener, connection, *self._silent.values()):
                other.close()
            return True
        for descriptor in request.stdio:
            os.close(descriptor)
        descriptor = os.pidfd_open(child)
        self._running[descriptor] = (child, connection)
        self._poll.register(descriptor, select.POLLIN)
        with suppress(OSError):
            connection.sendall(f"{child}\n".encode())
        return False

    def _tell(self, descriptor: int) -> None:
        child, connection = self._running.pop(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(OSError):
            connection.sendall(f"{status}\n".encode())
        self._poll.unregister(descriptor)
        with suppress(KeyError):
            self._poll.unregister(connection)
        os.close(descriptor)
        connection.close()


def _received(connection: socket.socket) -> Request | None:
    text, stdio, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while text and not text.endswith(b"\n"):
        more = connection.recv(1 << 20)
        text = text + more if more else b""
    if not text:
        return None
    argv, cwd, env = ast.literal_eval(text.decode())
    return Request(argv, cwd, env, stdio)


def _kill(child: int) -> None:
    """With what it started."""
    os.kill(child, signal.SIGKILL)
    with suppress(ProcessLookupError):  # it has not made its group yet
        os.killpg(child, signal.SIGKILL)


def run(request: Request) -> None:
    """In a child: what the script of the command does in a new process."""
    os.setsid()
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    for number, descriptor in enumerate(request.stdio):
        os.dup2(descriptor, number)
        os.close(descriptor)
    assert isinstance(sys.__stdout__, io.TextIOWrapper)
    sys.__stdout__.reconfigure(line_buffering=os.isatty(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    path = filter(None, request.env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[1:1] = [os.path.abspath(folder) for folder in path]
    sys.argv = request.argv
    sys.modules["numpy"].random.seed()  # Python seeds its own after a fork
    try:
        runpy.run_path(request.argv[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _status.append(end.code or 0)
        raise


def _end_at_once() -> None:
    """The last that runs at exit: taking down all that was imported would take a second."""
    if _status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status[0])


def main(folder: str, commands: str) -> None:
    """Serve the clients in a folder; become one of the commands in a child."""
    atexit.register(_end_at_once)
    sys.path[0] = commands  # as in their own processes
    os.environ.update(READ_AT_IMPORT)
    preload()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/socket")
    listener.listen(100)
    if request := Server(listener).serve():
        run(request)
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
