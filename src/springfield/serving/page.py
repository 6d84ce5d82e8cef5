"""The page that runs the exported model in the browser: served, or written for any static host."""

import hashlib
import io
import json
import re
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from mimetypes import MimeTypes
from pathlib import Path
from urllib.parse import unquote, urlsplit

from springfield.files import atomic
from springfield.machine.errors import UserError
from springfield.serving.listen import HOST, listen
from springfield.sources.sample import frames

Site = dict[str, Path | bytes]
"""What is served: the path under `/` of every file, and the file or its content."""

MODELS = ("model.json", "springfield.onnx", "springfield.int8.onnx")
RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""Of onnxruntime-web: the plain runtime, and the one with WebGPU."""
PAGE_TYPES = (".html", ".css", ".mjs", ".js", ".svg", ".webmanifest")
CONTENT_TYPES = MimeTypes()
"""Python's own table, whatever this machine has configured."""
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
"""Threads of WebAssembly need the first two."""


def site(web: Path, models: Path) -> Site:
    """Everything that the page consists of, with the model and some sample pictures.

    `site.json` lists the files with their SHA-256 (`models/model.json` does it for the model), and
    the headers to serve them with.

    Args:
        web: the page's sources, with its node packages installed.
        models: the folder that export wrote.

    Raises:
        UserError: a part is missing; the text says how to get it.
    """
    if not (web / "index.html").is_file():
        raise UserError(f"{web}/index.html does not exist; run this in Springfield's repository")
    runtime = web / "node_modules/onnxruntime-web/dist"
    if not all((runtime / name).is_file() for name in RUNTIME):
        mend = f"run 'make app', or 'npm ci' in {web}/"
        if not (web / "package.json").is_file():  # that of a wheel
            mend = "install the wheel that 'make wheel' writes in Springfield's repository"
        raise UserError(f"{runtime} is not installed; {mend}")
    for path in (models / name for name in MODELS):
        if not path.is_file():
            raise UserError(f"{path} does not exist; run 'make repro' (or 'dvc pull') first")
    content: Site = {path.name: path for path in sorted(web.iterdir()) if path.suffix in PAGE_TYPES}
    content |= {f"vendor/{name}": runtime / name for name in RUNTIME}
    content |= _samples()
    hashes = {name: hashlib.sha256(_read(file)).hexdigest() for name, file in content.items()}
    description = {"headers": headers(web), "files": hashes}
    content |= {f"models/{name}": models / name for name in MODELS}
    return content | {"site.json": json.dumps(description, indent=1).encode()}


def headers(web: Path) -> dict[str, str]:
    """What every answer carries: isolation, and the page's own content security policy."""
    html = (web / "index.html").read_text(encoding="utf-8")
    found = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', html)
    assert found, "index.html states its policy"
    return ISOLATION | {"Content-Security-Policy": " ".join(found[1].split())}


def build(content: Site, folder: Path) -> None:
    """Write the page into a folder that any static host can serve.

    Raises:
        UserError: there is a folder of that name that this function did not write.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "site.json").is_file():
        raise UserError(f"{folder} holds something else; choose another folder or empty it")
    with atomic(folder, directory=True) as partial:
        for name, file in content.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_read(file))


def serve(content: Site, port: int, *, browser: bool) -> None:
    """Serve the page on the loopback address until Ctrl-C.

    Args:
        content: what `site` returned.
        port: to listen on; 0 takes a free one.
        browser: open the page.

    Raises:
        UserError: the port is taken.
    """
    sent = json.loads(_read(content["site.json"]))["headers"]

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def send_head(self) -> io.BytesIO | None:
            name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
            try:
                body = _read(content[name])
            except (KeyError, FileNotFoundError):  # a stage that runs takes its model away
                self.send_error(HTTPStatus.NOT_FOUND)
                return None
            self.send_response(HTTPStatus.OK)
            kind = CONTENT_TYPES.guess_type(name)[0] or "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            return io.BytesIO(body)

        def end_headers(self) -> None:
            for header, value in sent.items():
                self.send_header(header, value)
            super().end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the browser left in the middle of a download
                self.close_connection = True

    listen(Handler, HOST, port, "Springfield's page", browser=browser)


def _samples() -> Site:
    """One frame of each of the first shots of every character of the sample."""
    pictures: Site = {}
    for path, image in frames(scale=0):
        _, character, name = path.split("/")
        if name.endswith("_frame_0.png"):
            png = io.BytesIO()
            image.save(png, "PNG")
            pictures[f"samples/{character}_{name[5:8]}.png"] = png.getvalue()
    return pictures


def _read(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()
