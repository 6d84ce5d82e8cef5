"""A model behind HTTP: what clients send, and what they get."""

import hashlib
import http.client
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from springfield.images.store import ImageStore
from springfield.serving.predict import Predictor

from .conftest import Project

JSON = {"Content-Type": "application/json"}


@contextmanager
def serving(project: Project, *options: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """`springfield serve` in a project: its port, and the process."""
    command = [sys.executable, "-m", "springfield", "serve", "--port", "0", *options]
    process = subprocess.Popen(
        command, cwd=project.path, env=project.env, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    line = process.stderr.readline()
    assert "http://" in line, line + process.stderr.read()
    yield int(line.split("http://")[1].split(":")[1].split("/")[0]), process
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def port(done: Project) -> Iterator[int]:
    with serving(done) as (port, _):
        yield port


@pytest.fixture(scope="module")
def pictures(done: Project) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    store = ImageStore(done.path / "data/prepared/images.arrow")
    ids = (row.split(",")[0] for row in (done.path / "data/split.csv").read_text().split()[1:])
    return [store[name] for name, _ in zip(ids, range(2), strict=False)]


def ask(
    port: int, body: bytes, headers: dict[str, str], path: str = "/invocations"
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if headers or body else "GET", path, body, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def schema(port: int, path: str, method: str) -> Any:
    """What the server's own description says of a good answer."""
    described = ask(port, b"", {}, "/openapi.json")[1]
    answer = described["paths"][path][method]["responses"]["200"]
    return answer["content"]["application/json"]["schema"]


def test_encoded_pictures_and_json_are_named_as_by_the_class(
    port: int, done: Project, pictures: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    predictor = Predictor(done.path / "models/springfield.onnx")
    body = json.dumps({"inputs": np.stack(pictures).tolist()}).encode()
    status, answer = ask(port, body, JSON)
    assert status == 200
    jsonschema.validate(answer, schema(port, "/invocations", "post"))
    for picture, by_json in zip(pictures, answer["predictions"], strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        png = file.getvalue()
        status, alone = ask(port, png, {"Content-Type": "image/png"})
        assert status == 200
        (by_png,) = alone["predictions"]
        expected = predictor.predict(png)
        assert by_png["class"] == by_json["class"] == next(iter(expected))
        assert by_png["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert by_json["probabilities"] == pytest.approx(expected, abs=1e-6)
        assert by_png["sure"] is (max(expected.values()) >= predictor.threshold)


BAD = {
    "empty": (b"", {"Content-Type": "image/png"}, 400, "an empty file"),
    "no picture": (b"hello", {"Content-Type": "image/png"}, 400, "not a picture"),
    "no JSON": (b"{", JSON, 400, "no JSON"),
    "another JSON": (b"[1]", JSON, 400, "no JSON"),
    "deep JSON": (b'{"inputs": ' + b"[" * 100_000, JSON, 400, "no JSON"),
    "ragged": (b'{"inputs": [[[[1, 2, 3]], [[1]]]]}', JSON, 400, "no JSON"),
    "fractions": (b'{"inputs": [[[[0.5, 0.5, 0.5]]]]}', JSON, 400, "not integers"),
    "no pixels": (b'{"inputs": [[[]]]}', JSON, 400, "not integers"),
    "grey": (b'{"inputs": [[[[7]]]]}', JSON, 400, "not integers N x H x W x 3"),
    "too bright": (b'{"inputs": [[[[0, 0, 256]]]]}', JSON, 400, "not from 0 to 255"),
    "too long": (b"", {"Content-Length": str(33 << 20)}, 413, "at most 32 MB"),
    "no length": (b"", {"Transfer-Encoding": "chunked"}, 411, "how long"),
    "negative length": (b"", {"Content-Length": "-1"}, 411, "how long"),
    "endless length": (b"", {"Content-Length": "9" * 5000}, 413, "at most 32 MB"),
    "another host": (b"", {"Host": "example.com"}, 421, "ask 127.0.0.1"),
    "another host's port": (b"", {"Host": "127.0.0.1.example.com:80"}, 421, "ask 127.0.0.1"),
    "broken host": (b"", {"Host": "[::1"}, 400, "Bad request"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_picture_is_refused_in_a_line(port: int, done: Project, kind: str) -> None:
    body, headers, status, reason = BAD[kind]
    found, answer = ask(port, body, headers)
    assert found == status
    assert reason in answer["error"]
    found, health = ask(port, b"", {}, "/health")
    assert found == 200
    jsonschema.validate(health, schema(port, "/health", "get"))
    content = (done.path / "models/springfield.onnx").read_bytes()
    assert health["sha256"] == hashlib.sha256(content).hexdigest()


def test_other_paths_are_not_found(port: int) -> None:
    assert ask(port, b"", {}, "/../models/model.json")[0] == 404
    assert ask(port, b"x", {}, "/health")[0] == 404


def send(port: int, request: bytes) -> bytes:
    """The answer to a request as it goes over the wire."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


MALFORMED = [
    b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00 hello over TLS\r\n\r\n",
    b"GET  /  / HTTP/1.1\r\n\r\n",
]


def test_a_malformed_request_is_400_and_nothing_is_printed(done: Project) -> None:
    with serving(done) as (port, process):
        for request in MALFORMED:
            assert b" 400 " in send(port, request).split(b"\r\n")[0], request
        gone = socket.create_connection(("127.0.0.1", port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        gone.close()  # with a reset
        assert ask(port, b"", {"Host": "localhost:1"}, "/health")[0] == 404  # a POST
        assert ask(port, b"", {}, "/health")[0] == 200
    assert process.stderr
    assert process.stderr.read() == ""


def test_many_connections_wait_for_their_turn(port: int) -> None:
    waiting = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(100)]
    assert ask(port, b"", {}, "/health")[0] == 200
    for connection in waiting:
        connection.close()


def test_one_for_other_machines_is_asked_by_any_name(done: Project) -> None:
    with serving(done, "--host", "0.0.0.0") as (port, _):
        assert ask(port, b"x", {"Host": "gpu7.example.com"})[0] == 400  # no picture


@pytest.mark.parametrize("command", ["serve", "app"])
def test_a_port_that_is_none_is_a_line(done: Project, command: str) -> None:
    told = done.springfield(command, "--port", "65536", status=2)
    assert "less than or equal to 65535" in told
