"""A model behind HTTP: what clients send, and what they get."""

import hashlib
import http.client
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

from springfield.images.store import ImageStore
from springfield.serving.predict import Predictor

from .conftest import Project

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def port(done: Project) -> Iterator[int]:
    command = [sys.executable, "-m", "springfield", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=done.path, env=done.env, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    line = process.stderr.readline()
    assert "http://127.0.0.1:" in line, line + process.stderr.read()
    yield int(line.split("http://127.0.0.1:")[1].split("/")[0])
    process.terminate()
    process.wait()


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
