"""Seconds to the first answer of the page and milliseconds to the next ones, in Chromium.

    make bench-app

On the model in models/: int8 and fp32, with one thread (as from any static host) and with several
(as from `springfield app`), on the first visit and on a later one. Rows are added to
benchmarks/results/app.csv. Commit first: each row names its commit.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tables import add, processor, provenance

from springfield.machine.errors import UserError
from springfield.machine.progress import console, track
from springfield.sources.sample import frames

RESULTS = Path("benchmarks/results/app.csv")
NAMES = ("springfield.int8.onnx", "springfield.onnx")
ROUNDS, PICTURES, SIZE = 3, 20, (640, 480)
MINUTES = 10 * 60_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
SHOWN = """globalThis.shown = new Promise((resolve) => {
  const look = () => {
    if (document.querySelector("#scores")?.checkVisibility()) resolve(performance.now());
    else setTimeout(look, 5);
  };
  look();
});"""
"""By the page's own clock: what drives the browser is slow while the page keeps its files."""
OBSERVE = """() => {
  globalThis.blocked = [];
  new PerformanceObserver((list) => {
    blocked.push(...list.getEntries().map(({ duration }) => duration));
  }).observe({ type: "longtask" });
}"""


def pictures(folder: Path) -> list[Path]:
    """JPEG files of the size of television frames, drawn by the sample."""
    drawn = [image for _, image in frames(0)][: PICTURES + 1]
    for number, image in enumerate(drawn):
        image.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=90)
    return sorted(folder.glob("*.jpg"))


def only(name: str, folder: Path) -> Path:
    """A folder to run `springfield app` in, whose model is this version under both names."""
    (folder / "models").mkdir(parents=True)
    (folder / "web").symlink_to(Path("web").resolve())
    content = (Path("models") / name).read_bytes()
    card = json.loads(Path("models/model.json").read_text())
    for each in NAMES:
        (folder / "models" / each).write_bytes(content)
        card["files"][each] = hashlib.sha256(content).hexdigest()
    (folder / "models/model.json").write_text(json.dumps(card))
    return folder


@contextmanager
def serving(folder: Path, *, threads: bool) -> Iterator[str]:
    """The page's address: by `springfield app`, or by a server that sends no headers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "PYTHONPATH": str(Path("src").resolve())}
    command = [sys.executable, "-m", "springfield", "app", "--no-browser", "--port", port]
    if not threads:
        build = [sys.executable, "-m", "springfield", "app", "--build", "built"]
        subprocess.run(build, cwd=folder, env=env, check=True, capture_output=True)
        command = [sys.executable, "-m", "http.server", "-d", "built", "-b", "127.0.0.1", port]
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(address, timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def first_answer(page: Page, address: str, picture: Path) -> float:
    """Seconds from opening the page to the answer to a picture that is given at once."""
    page.add_init_script(SHOWN)
    page.goto(address, wait_until="commit")
    page.locator("[aria-pressed=true]").wait_for()  # it listens
    page.set_input_files("#files", picture)
    page.locator("#scores").wait_for(timeout=MINUTES)
    return float(page.evaluate("shown")) / 1000


def next_answers(page: Page, files: list[Path]) -> tuple[float, float]:
    """Median milliseconds of an answer, and the longest the main thread was busy meanwhile."""
    page.evaluate(OBSERVE)
    page.set_input_files("#files", files)
    page.locator(f"#rows tr:nth-child({len(files) + 1})").wait_for(timeout=MINUTES)
    with page.expect_download() as download:
        page.locator("#csv").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    median = statistics.median(float(row["milliseconds"]) for row in rows[1:])
    return median, max(page.evaluate("blocked"), default=0)


def visits(
    browser: Browser, address: str, files: list[Path], *, threads: bool
) -> list[list[float]]:
    """First answer, next answers and longest task: of the first visit, and of a later one."""
    # A service worker would add the headers that the server lacks.
    context = browser.new_context(service_workers="allow" if threads else "block")
    results = [visit(context, address, files) for _ in range(2)]
    context.close()
    return results


def visit(context: BrowserContext, address: str, files: list[Path]) -> list[float]:
    """First answer (seconds), next answers (milliseconds), longest task (milliseconds)."""
    page = context.new_page()
    seconds = first_answer(page, address, files[0])
    result = [seconds, *next_answers(page, files[1:])]
    page.close()
    return result


def main() -> None:
    """Measure all in turn, several times; print and note the medians."""
    if not Path("models/model.json").is_file():
        raise UserError("models/model.json does not exist; run 'make repro' first")
    card = json.loads(Path("models/model.json").read_text())
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        files = pictures(Path(scratch))
        rows = []
        for name in NAMES:
            folder = only(name, Path(scratch) / name)
            for threads in (False, True):
                with serving(folder, threads=threads) as address:
                    rounds = [
                        visits(browser, address, files, threads=threads)
                        for _ in track(range(ROUNDS), f"{name}, threads: {threads}")
                    ]
                for number, kind in enumerate(("first", "later")):
                    seconds, milliseconds, busy = (
                        statistics.median(each[number][i] for each in rounds) for i in range(3)
                    )
                    rows.append(
                        {
                            **provenance(processor()),
                            "browser": f"Chromium {browser.version}",
                            "backbone": card.get("backbone", ""),
                            "model": name,
                            "megabytes": round((Path("models") / name).stat().st_size / 1e6, 1),
                            "threads": "several" if threads else "one",
                            "visit": kind,
                            "first_answer_s": round(seconds, 2),
                            "next_answers_ms": round(milliseconds, 1),
                            "longest_main_thread_task_ms": round(busy),
                        }
                    )
        browser.close()
    add(RESULTS, rows)
    for row in rows:
        console.print(*list(row.values())[4:])


if __name__ == "__main__":
    main()
