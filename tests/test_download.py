"""Sources: a mirror (folder and server), Kaggle, a local folder; and what goes wrong with them."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import resource
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from springfield.files import RemoteFile
from springfield.machine.errors import UserError
from springfield.sources.mirror import alone
from springfield.stages.download import SourceParams

from . import stage
from .conftest import REPOSITORY, SHARED, Project, wait
from .test_data import make_zip, two_classes


@contextmanager
def serve(handler: type[http.server.BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """Run an HTTP server on loopback; its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def mirror(tmp_path: Path) -> tuple[Path, RemoteFile]:
    archive = make_zip(tmp_path / "mirror/sets/my set.zip", two_classes())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return tmp_path / "mirror", RemoteFile("sets/my set.zip", digest)


def get(file: RemoteFile, out: Path, mirror: str | None, root: Path) -> Path:
    stage.download(SourceParams(files=[file]), out, root, mirror)
    return out / "my set.zip"


def test_a_mirror_is_a_folder_relative_to_the_repository(
    mirror: tuple[Path, RemoteFile], tmp_path: Path
) -> None:
    (tmp_path / "repository").mkdir()
    archive = get(mirror[1], tmp_path / "raw", "../mirror", tmp_path / "repository")
    assert archive.read_bytes() == (mirror[0] / "sets/my set.zip").read_bytes()
    source = json.loads((tmp_path / "raw/source.json").read_text())
    assert source["archives"]["my set.zip"]["sha256"] == mirror[1].sha256
    assert str(tmp_path) not in json.dumps(source)


def test_a_mirror_is_a_server(mirror: tuple[Path, RemoteFile], tmp_path: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror[0]))
    with serve(handler) as address:  # type: ignore[arg-type]
        archive = get(mirror[1], tmp_path / "raw", address, tmp_path)
        assert archive.is_file()
        missing = RemoteFile("sets/other.zip", "0" * 64)
        with pytest.raises(UserError, match=r"cannot download other.zip: .*404"):
            get(missing, tmp_path / "no", address, tmp_path)


def test_a_damaged_file_is_refused_and_nothing_is_left(
    mirror: tuple[Path, RemoteFile], tmp_path: Path
) -> None:
    with (mirror[0] / "sets/my set.zip").open("ab") as file:
        file.write(b"!")
    with pytest.raises(UserError, match=r"my set.zip is damaged or another file"):
        get(mirror[1], tmp_path / "raw", "mirror", tmp_path)
    assert not (tmp_path / "raw").exists()
    assert not list((tmp_path / "cache/downloads").iterdir())


def test_a_gzip_is_unpacked_and_the_hash_is_that_of_its_content(tmp_path: Path) -> None:
    """So it does not matter who packed it, and a mirror may have it as it is."""
    content = b"idx" * 100_000
    digest = hashlib.sha256(content).hexdigest()
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with serve(handler) as address:  # type: ignore[arg-type]
        file = RemoteFile("sets/my set.zip", digest, f"{address}/set.gz")
        for level in (1, 9):
            (served / "set.gz").write_bytes(gzip.compress(content, level))
            assert get(file, tmp_path / "raw", None, tmp_path).read_bytes() == content
        for wrong, message in (
            (gzip.compress(content)[:-50], "is no whole gzip"),
            (content, "is no whole gzip"),
            (gzip.compress(b"other"), "is damaged or another file"),
        ):
            (served / "set.gz").write_bytes(wrong)
            with pytest.raises(UserError, match=message):
                get(file, tmp_path / "wrong", None, tmp_path)
            assert not list((tmp_path / "cache/downloads").iterdir())
    (tmp_path / "mirror/sets").mkdir(parents=True)
    (tmp_path / "mirror/sets/my set.zip").write_bytes(content)
    assert get(file, tmp_path / "raw", "mirror", tmp_path).read_bytes() == content


class Broken(http.server.SimpleHTTPRequestHandler):
    """Serves `content`, breaks off in the middle while `whole` is false, knows ranges."""

    content = b""
    whole = False
    sent: ClassVar[list[int]] = []

    def do_GET(self) -> None:  # noqa: D102
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        rest = self.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        part = rest if self.whole else rest[: len(rest) // 2]
        self.sent.append(len(part))
        self.wfile.write(part)


def test_a_broken_download_goes_on_where_it_broke(tmp_path: Path) -> None:
    names = ("one.zip", "two.zip")
    contents = {name: name.encode() * 300_000 for name in names}
    files = [RemoteFile(n, hashlib.sha256(contents[n]).hexdigest()) for n in names]

    class One(Broken):
        def do_GET(self) -> None:
            self.content = contents[self.path.strip("/")]
            self.whole = self.path == "/one.zip" or len(self.sent) > 1
            super().do_GET()

    with serve(One) as address:
        source = SourceParams(files=files)
        with pytest.raises(UserError, match=r"two.zip: the connection broke after 1.1 of 2.1 MB"):
            stage.download(source, tmp_path / "raw", tmp_path, address)
        assert not (tmp_path / "raw").exists()
        stage.download(source, tmp_path / "raw", tmp_path, address)
    assert {n: (tmp_path / "raw" / n).read_bytes() for n in names} == contents
    assert One.sent == [2_100_000, 1_050_000, 1_050_000]  # nothing was fetched twice
    assert not list((tmp_path / "cache/downloads").iterdir())


class Slow(Broken):
    """Serves 4 MB in pieces and notes where each request starts."""

    content = hashlib.shake_256(b"a set").digest(4_000_000)
    pause = 0.02
    starts: ClassVar[list[int]] = []

    def do_GET(self) -> None:  # noqa: D102
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        with suppress(ConnectionError):
            for place in range(start, len(self.content), 50_000):
                self.wfile.write(self.content[place : place + 50_000])
                time.sleep(self.pause)


def choose_served(project: Project, content: bytes) -> Path:
    """Make a served file the project's data set; where it will lie while it arrives."""
    digest = hashlib.sha256(content).hexdigest()
    (project.path / "conf/data/served.yaml").write_text(
        "name: served\nabout: {title: served, license: other, url: null}\n"
        "watch: data/unwatched\nlayout:\n  - pattern: (?P<class>a)\n"
        f"source: {{files: [{{path: set.zip, sha256: {digest}}}]}}\n"
    )
    project.springfield("compose", "data=served", "data.source.sample=null")
    return project.path / f".springfield/downloads/.set.zip.{digest[:16]}.part"


def test_a_killed_download_goes_on_where_it_was(project: Project) -> None:
    class Served(Slow):
        starts: ClassVar[list[int]] = []

    partial = choose_served(project, Served.content)
    with serve(Served) as address:
        env = project.env | {"SPRINGFIELD_MIRROR": address}
        process = subprocess.Popen(["springfield", "download"], cwd=project.path, env=env)
        while not (partial.exists() and partial.stat().st_size > 1_000_000):
            time.sleep(0.01)
        process.kill()
        process.wait()
        there = partial.stat().st_size
        assert there < len(Served.content)
        assert not (project.path / "data/raw").exists()
        project.run("springfield", "download", env={"SPRINGFIELD_MIRROR": address})
    assert Served.starts == [0, there]
    assert (project.path / "data/raw/set.zip").read_bytes() == Served.content
    assert not list((project.path / "data").glob(".*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_download_that_fills_the_disk_goes_on_when_there_is_room(project: Project) -> None:
    class Served(Slow):
        starts: ClassVar[list[int]] = []
        pause = 0.0

    partial = choose_served(project, Served.content)
    partial.parent.mkdir(parents=True)
    small = ("mount", "-t", "tmpfs", "-o", "size=2m", "none", str(partial.parent))
    if subprocess.run(small, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        with serve(Served) as address:
            env = {"SPRINGFIELD_MIRROR": address}
            output = project.run("springfield", "download", status=1, env=env).stderr
            assert "error: the disk is full" in output
            assert output.count("\n") <= 3
            there = partial.stat().st_size
            assert there > 1_000_000
            subprocess.run(["mount", "-o", "remount,size=9m", str(partial.parent)], check=True)
            project.run("springfield", "download", env=env)
    finally:
        subprocess.run(["umount", str(partial.parent)], check=True)
    assert Served.starts == [0, there]
    assert (project.path / "data/raw/set.zip").read_bytes() == Served.content


PAGE = b"<!doctype html><title>Log in</title>"
OK = b"HTTP/1.0 200 OK\r\n"
REST = b"HTTP/1.0 206 Partial Content\r\n"
BROKEN: dict[str, tuple[bytes, str]] = {
    "status line": (b"220 ready\r\n\r\n", "220 ready"),
    "no answer": (b"", "without response"),
    "header": (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "more than 65536 bytes"),
    "many headers": (OK + b"X: x\r\n" * 200 + b"\r\n", "more than 100 headers"),
    "length": (REST + b"Content-Length: soon\r\n\r\nno zip", "damaged or another file"),
    "length below 0": (REST + b"Content-Length: -5\r\n\r\nno zip", "damaged or another file"),
    "length too large": (REST + b"Content-Length: 999999999999\r\n\r\n", "is another file"),
    "416": (b"HTTP/1.0 416 Range Not Satisfiable\r\n\r\n", "damaged or another file"),
    "500": (b"HTTP/1.0 500 Down\r\n\r\n", "500: Down"),
    "no content": (b"HTTP/1.0 204 No Content\r\n\r\n", "answers 204 No Content"),
    "portal": (OK + b"Content-Type: text/html\r\n\r\n" + PAGE, "answers with a page"),
    "portal in the middle": (REST + b"Content-Type: text/html\r\n\r\n" + PAGE, "with a page"),
    "page in the middle": (REST + b"\r\n" + PAGE, "damaged or another file"),
    "other part": (REST + b"Content-Range: bytes 7-9/10\r\n\r\nabc", "another part"),
    "other file": (OK + b"\r\n" + PAGE, "does not begin as"),
    "chunks": (REST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "the connection broke"),
    "redirect": (b"HTTP/1.0 302 Found\r\nLocation: gopher://x\r\n\r\n", "302: Found"),
    "loop": (b"HTTP/1.0 302 Found\r\nLocation: /sets/loop\r\n\r\n", "infinite loop"),
    "nowhere": (b"HTTP/1.0 302 Found\r\nLocation: http://a..b/\r\n\r\n", "cannot download"),
    "endless": (OK + b"\r\n", "damaged or another file"),
    "endless rest": (REST + b"\r\n", "damaged or another file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_mirror_is_one_line_and_the_part_that_was_there_stays(
    kind: str, mirror: tuple[Path, RemoteFile], tmp_path: Path
) -> None:
    """And the next one gives the rest."""
    answer, message = BROKEN[kind]
    content = (mirror[0] / "sets/my set.zip").read_bytes()
    half, sent = content[: len(content) // 2], 0

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal sent
            with suppress(ConnectionError):
                self.wfile.write(answer)
                if kind == "endless":
                    self.wfile.write(half)
                while kind.startswith("endless") and sent < 1 << 28:
                    sent += self.wfile.write(bytes(1 << 20))

    file = replace(mirror[1], bytes=len(content))
    part = tmp_path / f"cache/downloads/.my set.zip.{file.sha256[:16]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(half)
    with serve(Mirror) as address, pytest.raises(UserError, match=message) as error:
        get(file, tmp_path / "raw", address, tmp_path)
    assert "my set.zip" in str(error.value).replace("%20", " ")
    assert part.read_bytes() == half
    assert sent < 1 << 26  # what the sockets hold
    assert not (tmp_path / "raw").exists()

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror[0]))
    with serve(handler) as address:  # type: ignore[arg-type]
        assert get(file, tmp_path / "raw", address, tmp_path).read_bytes() == content


@pytest.mark.parametrize("level", [0, 1], ids=["large packed", "large unpacked"])
def test_a_gzip_of_more_than_conf_says_is_stopped(tmp_path: Path, level: int) -> None:
    packed = gzip.compress(bytes(100 << 20), level)

    class Bomb(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                self.wfile.write(OK + b"\r\n" + packed)  # without its length

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serve(Bomb) as address:
        file = RemoteFile("sets/my set.zip", "0" * 64, f"{address}/set.gz", bytes=1_000_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, before[1]))  # no larger file is written
        try:
            with pytest.raises(UserError, match=r"is damaged or another file|is no whole gzip"):
                get(file, tmp_path / "raw", None, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "cache/downloads").iterdir())


def test_downloads_at_once_do_not_meet(tmp_path: Path) -> None:
    """Two workspaces share what arrives, as workers of a DVC queue do."""

    class Served(Slow):
        starts: ClassVar[list[int]] = []

    digest = hashlib.sha256(Served.content).hexdigest()
    code = (
        "import sys; from pathlib import Path; from springfield.files import RemoteFile\n"
        "from springfield.stages.download import SourceParams; from tests import stage\n"
        f"source = SourceParams(files=[RemoteFile('set.zip', '{digest}')])\n"
        "stage.download(source, Path(sys.argv[1]), Path('.'), sys.argv[2])\n"
    )
    env = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}"}
    with serve(Served) as address:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, raw, address],
                cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True,
            )
            for raw in ("one", "two")
        ]  # fmt: skip
        output = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert "set.zip is being fetched by another run" in "".join(output)
    for raw in ("one", "two"):
        assert (tmp_path / raw / "set.zip").read_bytes() == Served.content
    assert set(Served.starts) == {0}  # the second may come when the first has cleaned up
    assert not list((tmp_path / "cache/downloads").iterdir())


def test_what_arrived_is_not_taken_from_another_run(tmp_path: Path) -> None:
    """A run cleans up at its end, when another may have found the file and be about to link it."""
    files = [RemoteFile(f"{n}.zip", hashlib.sha256(n.encode()).hexdigest()) for n in ("one", "two")]
    asked, go = threading.Event(), threading.Event()

    class Served(Broken):
        whole = True

        def do_GET(self) -> None:
            self.content = Path(self.path).stem.encode()
            if self.content == b"two":
                asked.set()
                go.wait()
            super().do_GET()

    arrived, raw = tmp_path / "cache/downloads", tmp_path / "raw"
    with serve(Served) as address:
        run = threading.Thread(
            target=stage.download, args=(SourceParams(files=files), raw, tmp_path, address)
        )
        run.start()
        asked.wait()
        with alone(files[0], arrived):
            go.set()
            wait(raw.exists)
            time.sleep(0.2)
            assert (arrived / "one.zip").read_bytes() == b"one"
        run.join()
    assert not list(arrived.iterdir())


@pytest.mark.slow
def test_a_queue_of_two_downloads_at_once(finished: Project) -> None:
    class Served(Slow):
        starts: ClassVar[list[int]] = []
        pause = 0.1

    choose_served(finished, Served.content)
    finished.commit()
    choice = ("-S", "data=served", "-S", "data.source.sample=null", "-S", "seed=1,2")
    finished.run("dvc", "exp", "run", "--queue", *choice, "download")
    with serve(Served) as address:
        finished.run("dvc", "queue", "start", "--jobs", "2", env={"SPRINGFIELD_MIRROR": address})
        wait(lambda: finished.run("dvc", "queue", "status").stdout.count("Success") == 2)
    assert set(Served.starts) == {0}  # the second may come when the first has cleaned up


def test_without_a_mirror_it_says_what_to_set(
    mirror: tuple[Path, RemoteFile], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="set SPRINGFIELD_MIRROR"):
        get(mirror[1], tmp_path / "raw", None, tmp_path)
    with pytest.raises(UserError, match=r"has no sets/my set.zip"):
        get(mirror[1], tmp_path / "raw", "elsewhere", tmp_path)


def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    file = RemoteFile("a.zip", "0" * 64, url="http://127.0.0.1:9/a.zip")
    with pytest.raises(UserError, match=r"cannot download a.zip: .*SPRINGFIELD_MIRROR"):
        get(file, tmp_path / "raw", None, tmp_path)


def test_a_local_folder_is_packed_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in two_classes().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for out in ("one", "two"):
        stage.download(SourceParams(folder="set"), tmp_path / out, tmp_path)
    assert (tmp_path / "one/set.zip").read_bytes() == (tmp_path / "two/set.zip").read_bytes()
    assert "a/0.png" in zipfile.ZipFile(tmp_path / "one/set.zip").namelist()
    with pytest.raises(UserError, match="does not exist; put your pictures there"):
        stage.download(SourceParams(folder="sets"), tmp_path / "no", tmp_path)


def kaggle_handler(content: bytes, requests: list[str]) -> type[http.server.BaseHTTPRequestHandler]:
    class Kaggle(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            requests.append(self.path + self.rfile.read(length).decode())
            self.send_response(200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    return Kaggle


def test_kaggles_archive_counts_repeated_folders_once(project: Project) -> None:
    """It is downloaded by kagglehub from a server on loopback, which its TEST environment names."""
    archive = SHARED / "data/simpsons-kaggle-sample.zip"
    if not archive.is_file():
        pytest.skip("needs a mirror with data/simpsons-kaggle-sample.zip")
    project.springfield("compose", "experiment=simpsons", "prepare.shorter_side=64")
    requests: list[str] = []
    with serve(kaggle_handler(archive.read_bytes(), requests), port=7777):
        env = {
            "KAGGLE_API_ENVIRONMENT": "TEST",
            "KAGGLEHUB_CACHE": str(project.path / "kagglehub"),
            "DISABLE_KAGGLE_CACHE": "true",
        }
        project.springfield("download", env=env)
    assert "the-simpsons-characters-dataset" in "".join(requests)
    project.springfield("prepare")
    report = json.loads((project.path / "reports/data.json").read_text())
    assert (report["images"], report["refused"]) == (249, [])


def test_kaggle_out_of_reach_is_one_line(project: Project) -> None:
    project.springfield("compose", "experiment=simpsons")
    env = {
        "KAGGLE_API_ENVIRONMENT": "TEST",
        "KAGGLEHUB_CACHE": str(project.path / "kagglehub"),
        "HTTP_PROXY": "http://127.0.0.1:9",  # another test may serve the port of TEST meanwhile
        "NO_PROXY": "",
    }
    output = project.springfield("download", status=1, env=env)
    assert "cannot download alexattia/the-simpsons-characters-dataset" in output
    assert "Traceback" not in output
    assert not (project.path / "data/raw").exists()


def test_new_pictures_in_a_folder_are_noticed(project: Project) -> None:
    folder = project.path / "data/pictures"
    for name, content in two_classes(8).items():
        path = folder / Path(name).relative_to("set")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    project.springfield("compose", "data=folder", "data.source.sample=null")
    assert project.repro("split") == ["download", "prepare", "split"]
    assert project.repro("split") == []
    (folder / "a/new.png").write_bytes(two_classes(9)["set/a/8.png"])
    assert project.repro("split") == ["download", "prepare", "split"]
