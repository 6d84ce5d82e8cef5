"""The page that runs the exported model in the browser: served, or written for any static host."""

import hashlib
import io
import json
import os
import re
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from mimetypes import MimeTypes
from pathlib import Path
from urllib.parse import unquote, urlsplit

from springfield.files import atomic
from springfield.machine.errors import UserError
from springfield.machine.paths import Paths
from springfield.serving.listen import HOST, Handler, listen
from springfield.serving.samples import drawn_pictures, tested_pictures

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


def site(web: Path, paths: Paths, *, samples: bool) -> Site:
    """Everything that the page consists of, with the model and some sample pictures.

    `site.json` lists the files with their SHA-256 (`models/model.json` does it for the model), the
    class of each sample picture, the model's task, and the headers to serve them with.

    Args:
        web: the page's sources, with its node packages installed.
        paths: of what the pipeline wrote.
        samples: take them from the test side of its data; they may be somebody's.

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
    models = {name: paths.onnx.parent / name for name in MODELS}
    for path in models.values():
        if not path.is_file():
            raise UserError(f"{path} does not exist; run 'make repro' (or 'dvc pull') first")
    described = json.loads(paths.description.read_text(encoding="utf-8"))
    content: Site = {path.name: path for path in sorted(web.iterdir()) if path.suffix in PAGE_TYPES}
    content |= {f"vendor/{name}": runtime / name for name in RUNTIME}
    classes = described.get("classes", [])
    shown = {}
    if classes:
        shown = (samples and tested_pictures(paths, classes)) or drawn_pictures(classes)
    content |= {path: picture for path, (_, picture) in shown.items()}
    description = {
        "headers": headers(web),
        "files": {name: hashlib.sha256(_read(file)).hexdigest() for name, file in content.items()},
        "samples": {path: name for path, (name, _) in shown.items()},
        "task": described.get("task", "classification"),
    }
    content |= {f"models/{name}": path for name, path in models.items()}
    return content | {"site.json": json.dumps(description).encode()}


def headers(web: Path) -> dict[str, str]:
    """What every answer carries: isolation, and the page's own content security policy."""
    html = (web / "index.html").read_text(encoding="utf-8")
    found = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', html)
    assert found, "index.html states its policy"
    return ISOLATION | {"Content-Security-Policy": " ".join(found[1].split())}


def build(content: Site, folder: Path) -> None:
    """Write the page into a folder that any static host can serve.

    GitHub Pages and a static Space of Hugging Face take it as it is. In a folder with an older
    page, its files are replaced; what else is there, such as `.git`, stays.

    Raises:
        UserError: there is a folder of that name that this function did not write.
    """
    before = _page_in(folder)
    if before is None and folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something else; choose another folder or empty it")
    sent = json.loads(_read(content["site.json"]))["headers"]
    hosts: Site = {".nojekyll": b"", "README.md": _space(sent).encode()}
    for name, file in (content | hosts).items():
        with atomic(folder / name) as partial:
            partial.write_bytes(_read(file))
    for name in (before or set()) - content.keys():
        if (folder / name).resolve().is_relative_to(folder.resolve()):
            (folder / name).unlink(missing_ok=True)


def _page_in(folder: Path) -> set[str] | None:
    """The files of the page that is in a folder; none: there is no page."""
    try:
        site = json.loads((folder / "site.json").read_text(encoding="utf-8"))
        return set(site["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
    sent["Content-Security-Policy"] += "; frame-ancestors 'none'"  # a host may show it in a frame

    class PageHandler(Handler, SimpleHTTPRequestHandler):
        def send_head(self) -> io.BytesIO | None:
            name = unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
            try:
                tag, body = _changed(content[name], self.headers.get("If-None-Match"))
            except (KeyError, FileNotFoundError):  # a stage that runs takes its model away
                self.send_error(HTTPStatus.NOT_FOUND)
                return None
            self.send_response(HTTPStatus.NOT_MODIFIED if body is None else HTTPStatus.OK)
            self.send_header("ETag", tag)
            self.send_header("Cache-Control", "no-cache")
            if body is not None:
                kind = CONTENT_TYPES.guess_type(name)[0] or "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return None if body is None else io.BytesIO(body)

        def end_headers(self) -> None:
            for header, value in sent.items():
                self.send_header(header, value)
            super().end_headers()

    listen(PageHandler, HOST, port, "Springfield's page", browser=browser)


def _space(sent: dict[str, str]) -> str:
    """The README of a Space: its front matter says what it is, and its headers."""
    threads = "\n".join(f"  {name.lower()}: {sent[name]}" for name in ISOLATION if "Cross" in name)
    return f"""---
title: Springfield
emoji: 🖼️
colorFrom: yellow
colorTo: blue
sdk: static
app_file: index.html
pinned: false
custom_headers:
{threads}
---

Runs a model in the browser: no picture and no series leaves it.
"""


def _changed(file: Path | bytes, known: str | None) -> tuple[str, bytes | None]:
    """A tag that changes with a file, and its content; None: the tag is known."""
    if isinstance(file, bytes):
        tag = f'"{hashlib.sha256(file).hexdigest()[:32]}"'
        return tag, None if tag == known else file
    with file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        return tag, None if tag == known else opened.read()


def _read(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()
