"""MLflow's page in a real browser: two runs compared."""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from playwright.sync_api import Page, expect, sync_playwright

from .conftest import REPOSITORY, Project

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOTS = os.environ.get("SCREENSHOTS")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page(viewport={"width": 1500, "height": 1000})
        browser.close()


@pytest.fixture
def ui(finished: Project, unused_port: int) -> Iterator[tuple[str, Project]]:
    """MLflow's server, as `make ui` starts it, on a store with two runs."""
    finished.springfield("promote")
    finished.springfield("compose", "optimizer.lr=0.004", "train.epochs=4")
    finished.repro()
    port, store = unused_port, finished.store
    command = ["mlflow", "ui", "--backend-store-uri", store, "--host", "127.0.0.1"]
    env = {**finished.env, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen([*command, "--port", str(port)], cwd=finished.path, env=env)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address, finished
    finally:
        process.terminate()
        process.wait()


def shot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def test_two_runs_are_compared(ui: tuple[str, Project], page: Page) -> None:
    address, project = ui
    client = MlflowClient(f"sqlite:///{project.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment
    number = experiment.experiment_id
    runs = [run.info.run_id for run in client.search_runs([number])]
    assert len(runs) == 2
    outside: list[str] = []
    page.on("request", lambda r: outside.append(r.url) if address not in r.url else None)

    makefile = (REPOSITORY / "Makefile").read_text()
    (start,) = re.findall(r"^RUNS := (.*)", makefile, re.MULTILINE)
    page.goto(address + start.replace("\\#", "#"))
    expect(page.get_by_role("link", name="tiny", exact=True)).to_be_visible(timeout=60_000)
    shot(page, "runs")

    quoted = ",".join(f'"{run}"' for run in runs)
    page.goto(f'{address}/#/compare-runs?runs=[{quoted}]&experiments=["{number}"]')
    expect(page.get_by_text("optimizer.lr").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("0.004").first).to_be_visible()
    shot(page, "compare-params")

    page.goto(f"{address}/#/experiments/{number}/runs?compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill("val_macro_f1", timeout=60_000)
    # A point an epoch: two of the first run and four of the second.
    points = "document.querySelectorAll('.scatterlayer .point').length >= 6"
    page.wait_for_function(points, timeout=60_000)
    page.wait_for_timeout(2000)
    shot(page, "compare-curves")

    page.goto(
        f"{address}/#/experiments/{number}/runs/{runs[0]}/artifacts/reports/evaluate/confusion.png"
    )
    picture = page.locator("img[src*='confusion'], .image-outer-container img, img[src^='blob:']")
    expect(picture.first).to_be_visible(timeout=60_000)
    page.wait_for_timeout(1000)
    shot(page, "confusion")

    page.goto(f"{address}/#/models/springfield-sample")
    for alias, number in (("champion", "Version 1"), ("challenger", "Version 2")):
        row = page.get_by_role("row").filter(has_text=number)
        expect(row.get_by_text(alias)).to_be_visible(timeout=60_000)
    shot(page, "champion")
    assert [url for url in outside if not url.startswith(("data:", "blob:"))] == []
