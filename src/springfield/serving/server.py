"""A model behind HTTP: a picture in, names or boxes out; needs neither torch nor DVC."""

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springfield.files import sha256
from springfield.images.reading.decoding import decode
from springfield.serving.detect import Detector
from springfield.serving.listen import Handler, listen
from springfield.serving.predict import Predictor, open_model, pixels

MAX_BYTES = 32 << 20
"""Of a request."""


def serve(model: Path, host: str, port: int) -> None:
    """Answer `POST /invocations` with what pictures show, until Ctrl-C.

    Args:
        model: what export wrote.
        host: address to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        UserError: no such model, or the address is taken.
    """
    opened, one_at_a_time, digest = open_model(model), threading.Lock(), sha256(model)
    predictor = Detector(opened) if opened.task == "detection" else Predictor(opened)
    told: dict[str, Any] = {
        "/health": {"status": "ok", "model": model.name, "sha256": digest},
        "/openapi.json": description(predictor, digest[:12]),
    }

    class ModelHandler(Handler, BaseHTTPRequestHandler):
        error_content_type = "application/json"
        error_message_format = '{"error": "%(explain)s"}'

        def do_GET(self) -> None:
            known = told.get(self.path)
            if known:
                self.answer(HTTPStatus.OK, known)
            else:
                self.answer(HTTPStatus.NOT_FOUND, {"error": "see /openapi.json"})

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            self.close_connection = True  # until the request was read to its end
            if self.path != "/invocations":
                self.answer(HTTPStatus.NOT_FOUND, {"error": "post pictures to /invocations"})
            elif not length.isdecimal():
                self.answer(HTTPStatus.LENGTH_REQUIRED, {"error": "say how long it is"})
            elif len(length) > len(str(MAX_BYTES)) or int(length) > MAX_BYTES:
                error = f"at most {MAX_BYTES >> 20} MB are taken"
                self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": error})
            else:
                body = self.rfile.read(int(length))
                self.close_connection = False
                try:
                    with one_at_a_time:  # which bounds the memory
                        found = predict(predictor, self.headers.get_content_type(), body)
                except ValueError as error:
                    self.answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
                else:
                    self.answer(HTTPStatus.OK, {"predictions": found})

        def answer(self, status: HTTPStatus, content: Any) -> None:
            body = json.dumps(content, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    listen(ModelHandler, host, port, f"{model} answers at")


def predict(
    predictor: Predictor | Detector, content_type: str, body: bytes
) -> list[dict[str, Any]]:
    """What each picture of a request shows, or where.

    Args:
        predictor: the model.
        content_type: of the request: JSON as MLflow's own server takes it, else an encoded picture.
        body: of the request.

    Raises:
        ValueError: there is no picture in it; the text says why.
    """
    as_json = content_type == "application/json"
    if isinstance(predictor, Detector):
        found = (
            predictor.batch(_images(body), predictor.threshold)
            if as_json
            else [predictor.find(decode(body))]
        )
        return [{"boxes": [box.told for box in boxes]} for boxes in found]
    images = _images(body) if as_json else pixels(body)[None]
    predictions = []
    for found in predictor.probabilities(images).tolist():
        probability = max(found)
        prediction = {
            "class": predictor.classes[found.index(probability)],
            "probability": probability,
            "sure": probability >= predictor.threshold,
            "probabilities": dict(zip(predictor.classes, found, strict=True)),
        }
        predictions.append(prediction)
    return predictions


def _images(body: bytes) -> NDArray[np.uint8]:
    """The images (uint8, N x H x W x 3) in MLflow's JSON: `inputs` or `instances`."""
    try:
        content = json.loads(body)
        given = content.get("inputs", content.get("instances"))
        images = np.array(given["image"] if isinstance(given, dict) else given)
    except (ValueError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"no JSON with 'inputs', the pixels of pictures: {error}") from error
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape or images.dtype.kind != "i":
        raise ValueError(f"'inputs' is {images.dtype} {images.shape}, not integers N x H x W x 3")
    if images.min() < 0 or images.max() > 255:
        raise ValueError(f"pixels from {images.min()} to {images.max()}, not from 0 to 255")
    return images.astype(np.uint8)


def description(predictor: Predictor | Detector, version: str) -> dict[str, Any]:
    """What a server of a model takes and gives, as OpenAPI 3.1."""
    number, picture = {"type": "number"}, {"schema": {"type": "string", "format": "binary"}}
    pixels = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}
    for _ in range(3):
        pixels = {"type": "array", "items": pixels}
    named = {"class": {"enum": predictor.classes}}
    if isinstance(predictor, Detector):
        corners = {"type": "array", "items": number, "description": "x1 y1 x2 y2 in pixels"}
        box = _object(**named, score=number, box=corners)
        properties: dict[str, Any] = {"boxes": {"type": "array", "items": box}}
    else:
        properties = {
            **named,
            "probability": number,
            "sure": {"type": "boolean", "description": "whether the model's threshold is reached"},
            "probabilities": {"type": "object", "additionalProperties": number},
        }
    predictions = _object(predictions={"type": "array", "items": _object(**properties)})
    health = _object(status={"const": "ok"}, model={"type": "string"}, sha256={"type": "string"})
    refused = {"description": "refused; says why", **_json(_object(error={"type": "string"}))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "What a picture shows", "version": version},
        "paths": {
            "/health": {"get": {"responses": {"200": {"description": "alive", **_json(health)}}}},
            "/invocations": {
                "post": {
                    "requestBody": {
                        "required": True,
                        "content": {
                            "image/jpeg": picture,
                            "image/png": picture,
                            **_json(_object(inputs=pixels))["content"],
                        },
                    },
                    "responses": {
                        "200": {"description": "one for each picture", **_json(predictions)},
                        **dict.fromkeys(("400", "411", "413"), refused),
                    },
                }
            },
        },
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
