"""The page in a real browser: what people do with it, and what it says when things go wrong."""

import csv
import functools
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from springfield.sample import frames

from .conftest import REPOSITORY, Project
from .test_browser import CHROMIUM, FLAGS, shot

PACKAGES = REPOSITORY / "web/node_modules"
AXE = PACKAGES / "axe-core/axe.min.js"
INT8, FP32 = "springfield.int8.onnx", "springfield.onnx"
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SPRINGFIELD = [sys.executable, "-m", "springfield"]
ENV = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "COLUMNS": "200"}
MEGAPIXEL = 2**20
PATIENCE = 60_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs the page's node packages (make app)"),
]


# What is served


@pytest.fixture(scope="session")
def folder(done: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run `springfield app` in: the page's sources, and a model of known threshold."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "web").symlink_to(REPOSITORY / "web")
    shutil.copytree(done.path / "models", folder / "models")
    top = np.sort([expected(folder, INT8, image).max() for _, image in frames(0)])
    for name in (INT8, FP32):  # half of the sample's frames are below it
        rewrite(folder / "models" / name, threshold=repr(float(np.median(top))))
    describe(folder)
    return folder


def rewrite(path: Path, **metadata: str | None) -> None:
    """Change a model's metadata; None removes a key."""
    model = onnx.load(path)
    known = {entry.key: entry.value for entry in model.metadata_props} | metadata
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {k: v for k, v in known.items() if v is not None})
    onnx.save(model, path)


def describe(folder: Path) -> None:
    """Bring the hashes in model.json up to date."""
    card = folder / "models/model.json"
    content = json.loads(card.read_text())
    for name in (INT8, FP32):
        content["files"][name] = hashlib.sha256((folder / "models" / name).read_bytes()).hexdigest()
    card.write_text(json.dumps(content))


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """`springfield app` in a folder; its address."""
    command = [*SPRINGFIELD, "app", "--no-browser", *(options or ("--port", "0"))]
    process = subprocess.Popen(command, cwd=folder, env=ENV, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        line = process.stderr.readline()
        assert "http://" in line, line + process.stderr.read()
        yield line.split("http://")[1].split()[0].join(("http://", ""))
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *CAMERA])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that was never here."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, locale="en-GB", accept_downloads=True
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    """The page with its model loaded."""
    return visit(context, address)


def visit(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    ready(page)
    return page


def ready(page: Page) -> None:
    expect(page.locator("#sure")).to_contain_text("Ready", timeout=PATIENCE)


# What is asked and answered


def predict_input(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels that `springfield predict` hands to the model."""
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    rgb = upright.convert("RGB")
    k = int((rgb.width * rgb.height / MEGAPIXEL) ** 0.5)
    return np.asarray(rgb.reduce(k) if k > 1 else rgb)


@functools.cache
def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path)


def expected(folder: Path, name: str, image: Image.Image) -> NDArray[np.float32]:
    """The probabilities that Python computes."""
    pixels = predict_input(image)[None]
    return np.asarray(session(folder / "models" / name).run(None, {"image": pixels})[0][0])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upload(name: str, content: bytes) -> Any:
    return {"name": name, "mimeType": "", "buffer": content}


def ask(page: Page, *files: Any) -> None:
    """Choose files and wait until all are answered."""
    before = page.locator("#rows tr").count()
    page.set_input_files("#files", list(files))
    expect(page.locator("#rows tr")).to_have_count(before + len(files), timeout=10 * PATIENCE)


def answers(page: Page) -> list[dict[str, str]]:
    """The list as CSV, row by row."""
    with page.expect_download() as download:
        page.evaluate("document.getElementById('csv').click()")
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(row: dict[str, str]) -> NDArray[np.float32]:
    return np.array([float(value) for value in list(row.values())[5:]], np.float32)


def some_frames(count: int) -> list[tuple[str, Image.Image]]:
    """Frames of the sample, evenly over its characters."""
    every = list(frames(0))
    chosen = np.linspace(0, len(every) - 1, count).astype(int)
    return [(every[i][0].replace("/", "_"), every[i][1]) for i in chosen]


def photo(size: tuple[int, int], number: int = 0) -> Image.Image:
    """A frame of the sample as large as a photograph."""
    return some_frames(20)[number][1].resize(size, Image.Resampling.BICUBIC)


def rotated(image: Image.Image, orientation: int) -> bytes:
    """A JPEG whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", quality=95, exif=exif)


@pytest.mark.parametrize("name", [INT8, FP32])
def test_pictures_of_all_kinds_get_the_answers_that_python_gives(
    page: Page, folder: Path, name: str
) -> None:
    image = photo((640, 480), 3)
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    pictures = {
        "a.jpg": encoded(image, "JPEG", quality=92),
        "subsampled.jpg": encoded(image, "JPEG", quality=80, subsampling=2),
        "progressive.jpg": encoded(image, "JPEG", progressive=True),
        "a.png": encoded(image, "PNG"),
        "palette.png": encoded(image.quantize(64), "PNG"),
        "transparent.png": encoded(alpha, "PNG"),
        "a.webp": encoded(image, "WEBP", quality=85),
        "lossless.webp": encoded(image, "WEBP", lossless=True),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
        "grey.png": encoded(image.convert("L"), "PNG"),
        "wide.png": encoded(photo((1500, 40), 5), "PNG"),
        "pixel.png": encoded(image.resize((1, 1)), "PNG"),
        "huge.jpg": encoded(photo((8003, 6001), 7), "JPEG"),
        "no ending": encoded(image, "JPEG"),
        "Слон, «7».png": encoded(image, "PNG"),
        **{f"turned{n}.jpg": rotated(image.crop((0, 0, 600, 300)), n) for n in range(2, 9)},
    }
    page.locator("#model summary").click()
    page.locator("#version").select_option(name)
    ready(page)
    ask(page, *(upload(name, content) for name, content in pictures.items()))
    rows = answers(page)
    assert [row["picture"] for row in rows] == list(pictures)
    for row in rows:
        wanted = expected(folder, name, Image.open(io.BytesIO(pictures[row["picture"]])))
        assert row["error"] == "", row
        assert probabilities(row) == pytest.approx(wanted, abs=0.01), row["picture"]
    expect(page.locator("#cost")).to_contain_text("wasm, 2 threads")
