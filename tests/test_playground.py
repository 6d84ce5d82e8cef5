"""The playground in a real browser: a network that learns from the points that one sets."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from torch import nn

from springfield.serving.page import MODELS

from .conftest import REPOSITORY
from .test_app import AXE, ENV, SPRINGFIELD, serving
from .test_browser import CHROMIUM, FLAGS, shot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs the page's node packages (make app)"),
]
ACTIVATIONS: dict[str, nn.Module] = {
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.01),
    "sigmoid": nn.Sigmoid(),
    "linear": nn.Identity(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run `springfield app` in; the playground asks for no model."""
    folder = tmp_path_factory.mktemp("playground")
    (folder / "web").symlink_to(REPOSITORY / "web")
    (folder / "models").mkdir()
    for name in MODELS:
        (folder / "models" / name).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        browser.close()


@pytest.fixture
def page(context: BrowserContext, address: str) -> Iterator[Page]:
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(f"{address}playground.html")
    expect(page.locator("#state")).to_have_text("200 points. The weights are random.")
    yield page
    assert failures == []
    page.close()


def learn_until(page: Page, state: str) -> None:
    """Let it learn, for at most ten seconds."""
    page.locator("#learn").click()
    expect(page.locator("#state")).to_have_text(re.compile(state), timeout=10_000)
    page.locator("#learn").click()


ALL_RIGHT = r"\b(\d+) of \1 points right"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_its_steps_are_those_of_pytorch(page: Page, activation: str) -> None:
    """Gradients written by hand in JavaScript, beside autograd's."""
    random = np.random.default_rng(1)
    inputs, labels = random.uniform(-1, 1, (12, 2)), random.integers(0, 2, 12)
    points = [
        {"inputs": place, "label": label}
        for place, label in zip(inputs.tolist(), labels.tolist(), strict=True)
    ]
    script = """async ([activation, points]) => {
      const { Network } = await import("/network.mjs");
      const network = new Network([2, 4, 3], activation);
      const before = structuredClone(network.layers);
      const losses = [];
      for (let n = 0; n < 20; n++) losses.push(network.step(points, 0.3) / points.length);
      return [before, losses, points.map(({ inputs }) => network.probability(inputs))];
    }"""
    before, losses, probabilities = page.evaluate(script, [activation, points])

    layers: list[nn.Module] = []
    for layer in before:
        weights = torch.tensor(layer["weights"], dtype=torch.float64)
        linear = nn.Linear(weights.shape[1], weights.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(weights)
            linear.bias.copy_(torch.tensor(layer["biases"]))
        layers += [linear, ACTIVATIONS[activation]]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    x, y = torch.tensor(inputs), torch.tensor(labels, dtype=torch.float64)
    for expected in losses:
        loss = nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], y)
        assert expected == pytest.approx(loss.item(), abs=1e-9)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = torch.sigmoid(network(x)[:, 0]).detach()
    assert probabilities == pytest.approx(found.tolist(), abs=1e-9)


def test_a_circle_in_a_ring_is_learned_in_ten_seconds(page: Page) -> None:
    before = page.locator("#plane").screenshot()
    learn_until(page, "200 of 200 points right")
    assert page.locator("#plane").screenshot() != before
    expect(page.locator("#learn")).to_have_text("Learn")
    shot(page, "playground")


def test_a_network_without_a_hidden_layer_draws_a_line(page: Page) -> None:
    """It cannot tell the circle from its ring, but two halves it can."""
    page.locator("#layers").select_option("0")
    learn_until(page, r"Epoch \d{3}: .* 1?\d\d of 200 points right")
    expect(page.locator("#state")).not_to_have_text(re.compile(ALL_RIGHT))
    page.locator("#set").select_option("halves")
    learn_until(page, ALL_RIGHT)


def test_points_are_set_with_the_mouse(page: Page) -> None:
    page.locator("#set").select_option("none")
    state = page.locator("#state")
    expect(state).to_have_text("It takes points of both classes to learn from.")
    plane = page.locator("#plane")
    side = plane.evaluate("({ clientWidth }) => clientWidth")

    def click(x: float, y: float) -> None:
        plane.click(position={"x": x * side, "y": y * side})

    for place in ((0.2, 0.2), (0.25, 0.3)):
        click(*place)
    page.get_by_label("sets an orange circle").check()
    for place in ((0.8, 0.8), (0.7, 0.75)):
        click(*place)
    expect(state).to_have_text("4 points. The weights are random.")
    page.get_by_label("takes the nearest away").check()
    click(0.7, 0.7)
    expect(state).to_have_text("3 points. The weights are random.")
    learn_until(page, ALL_RIGHT)
    # Up is up: the blue ones were set at the top left.
    colour = "(n) => [...plane.getContext('2d').getImageData(n, n, 1, 1).data]"
    red, _, blue, _ = page.evaluate(colour, 60)
    assert blue > red
    red, _, blue, _ = page.evaluate(colour, 420)
    assert red > blue


def test_keyboard_and_screen_reader_are_enough(page: Page) -> None:
    def tab_to(name: str, key: str = "Tab") -> None:
        for _ in range(20):
            page.keyboard.press(key)
            if page.evaluate("document.activeElement.id") == name:
                return
        raise AssertionError(name)

    told = page.get_by_role("status")
    tab_to("set")
    page.keyboard.type("none")
    expect(told).to_have_text("It takes points of both classes to learn from.")
    tab_to("plane", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(told).to_have_text(re.compile(r"^0\.05, 0\.05: (blue square|orange circle), \d+%\.$"))
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(told).to_have_text("1 point.")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # the next of the radio buttons
    page.keyboard.press("Shift+Tab")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(told).to_have_text("2 points.")
    assert page.evaluate("scrollY") == 0
    tab_to("learn")
    page.keyboard.press("Enter")
    expect(told).to_have_text(re.compile(r"^Epoch \d+: .* 2 of 2 points right\.$"), timeout=10_000)
    page.keyboard.press("Enter")
    expect(page.locator("#learn")).to_have_text("Learn")


def test_a_rate_that_is_too_high_is_told(page: Page) -> None:
    page.locator("#rate").select_option("10")
    page.locator("#activation").select_option("linear")
    page.locator("#learn").click()
    state = page.locator("#state")
    expect(state).to_contain_text("the learning rate is too high", timeout=20_000)
    expect(page.locator("#learn")).to_have_text("Learn")
    page.locator("#anew").click()
    expect(state).to_have_text("200 points. The weights are random.")


def test_no_violation_of_accessibility_rules(page: Page) -> None:
    def audit(what: str) -> None:
        page.evaluate(AXE.read_text())
        found: list[dict[str, Any]] = page.evaluate("axe.run().then((r) => r.violations)")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == [], what

    audit("desktop")
    page.emulate_media(color_scheme="dark")
    page.locator("#step").click()
    audit("dark")
    shot(page, "playground-dark")
    page.locator("[data-language=ru]").click()
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator("#learn")).to_have_text("Учить")
    expect(page.locator("#state")).to_contain_text("Эпоха 1: потери")
    audit("phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shot(page, "playground-phone")
    page.locator("[data-language=en]").click()


def test_the_page_leads_to_it_and_it_is_built_with_it(
    page: Page, address: str, folder: Path, tmp_path: Path
) -> None:
    page.goto(address)
    page.get_by_role("link", name="Playground").click()
    expect(page).to_have_title("Playground - Springfield")
    built = tmp_path / "built"
    command = [*SPRINGFIELD, "app", "--build", str(built)]
    subprocess.run(command, cwd=folder, env=ENV, check=True, capture_output=True)
    for name in ("playground.html", "playground.css", "playground.mjs", "network.mjs"):
        assert (built / name).is_file()
