"""The page with a detector and with a forecaster: boxes over pictures, series that go on."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from springfield.artifacts.onnx_files import write_onnx
from springfield.machine.errors import UserError
from springfield.series.reading.table import Columns, read_table
from springfield.sources import sample_boxes
from springfield.stages.detection.export import OUTPUTS

from .conftest import REPOSITORY, wait
from .test_app import (
    AXE,
    ENV,
    FP32,
    INT8,
    PATIENCE,
    SPRINGFIELD,
    answers,
    ask,
    context,
    describe,
    drop,
    encoded,
    linear,
    ready,
    rewrite,
    rotated,
    serving,
    told,
    upload,
    visit,
)
from .test_browser import CHROMIUM, FLAGS, shot
from .test_detect import detector
from .test_forecast import BAD, DAYS, READ, WEEKS, run, text, week

__all__ = ["context"]  # a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("app"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs the page's node packages (make app)"),
]
SCENES = [image for _, image, _ in sample_boxes.frames(sample_boxes.SEVERAL, 4)]
TABLE = text(week(280))


# What is served


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


def served(folder: Path, **described: Any) -> Path:
    """Make a folder with `models/springfield.onnx` one to run `springfield app` in."""
    (folder / "web").symlink_to(REPOSITORY / "web")
    if not (folder / "models" / INT8).exists():
        shutil.copyfile(folder / "models" / FP32, folder / "models" / INT8)
    if described:
        (folder / "models/model.json").write_text(json.dumps({**described, "files": {}}))
    describe(folder)
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a detector that learnt nothing, but finds some boxes in each picture."""
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "models").mkdir()
    model, path = detector(), folder / "models" / FP32
    names = ["homer_simpson", "bart", "a<b>"]
    metrics = {"test": {"n": 7, "map50": 0.5, "map": 0.25}}
    contract = {"task": "detection", "classes": names, "threshold": 0.0, "metrics": metrics}
    metadata = {name: json.dumps(value) for name, value in contract.items()}
    write_onnx(model, np.asarray(SCENES[0]), 18, path, metadata, OUTPUTS)
    found = [box["score"] for box in predicted(folder, encoded(SCENES[0], "PNG"))[0]["boxes"]]
    rewrite(path, threshold=json.dumps(sorted(found)[-8]))
    return served(folder, **contract)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a forecaster of days."""
    folder = tmp_path_factory.mktemp("series")
    run(folder, week(280))
    return served(folder)


def predicted(folder: Path, content: bytes, name: str = "a.png") -> Any:
    """What `springfield predict --json` says of a file."""
    (folder / name).write_bytes(content)
    command = [*SPRINGFIELD, "predict", "--json", name]
    done = subprocess.run(command, cwd=folder, env=ENV, check=True, capture_output=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def boxes_address(boxes: Path) -> Iterator[str]:
    with serving(boxes) as address:
        yield address


@pytest.fixture(scope="module")
def series_address(series: Path) -> Iterator[str]:
    with serving(series) as address:
        yield address


@pytest.fixture
def detecting(context: BrowserContext, boxes_address: str) -> Page:
    return visit(context, boxes_address)


@pytest.fixture
def forecasting(context: BrowserContext, series_address: str) -> Page:
    return visit(context, series_address)


# Boxes


def same_boxes(rows: list[dict[str, str]], expected: list[dict[str, Any]]) -> None:
    """Each box has one of its class, score and place; processors round differently."""
    assert len(rows) == len(expected) > 0
    for box in expected:
        near = [
            np.abs([float(row[side]) for side in ("x1", "y1", "x2", "y2")] - np.array(box["box"]))
            for row in rows
            if row["class"] == box["class"] and abs(float(row["score"]) - box["score"]) < 1e-3
        ]
        assert near, box
        assert min(away.max() for away in near) < 0.5, box


def places(page: Page) -> list[list[float]]:
    """Left, top, right and bottom of the drawn boxes, in pixels of the picture's file."""
    wait(lambda: page.evaluate("document.getElementById('shown').naturalWidth"), 20)
    script = """() => {
      const picture = document.getElementById("shown");
      const { naturalWidth: wide, naturalHeight: tall } = picture;
      const frame = picture.getBoundingClientRect();
      const scale = Math.min(frame.width / wide, frame.height / tall); // object-fit: contain
      const x = frame.x + (frame.width - scale * wide) / 2;
      const y = frame.y + (frame.height - scale * tall) / 2;
      return [...document.querySelectorAll(".box")].map((box) => {
        const { left, top, right, bottom } = box.getBoundingClientRect();
        return [left - x, top - y, right - x, bottom - y].map((side) => side / scale);
      });
    }"""
    return [[float(side) for side in place] for place in page.evaluate(script)]


def test_boxes_are_drawn_where_python_finds_them(detecting: Page, boxes: Path) -> None:
    """In pictures that are wide, turned, or so large that they are looked at reduced."""
    pictures = {
        "wide.png": encoded(SCENES[0].resize((900, 300)), "PNG"),
        "turned.jpg": rotated(SCENES[1], 6),
        "large.png": encoded(SCENES[2].resize((2501, 1999)), "PNG"),
    }
    for name, content in pictures.items():
        expected = predicted(boxes, content, name)[0]["boxes"]
        ask(detecting, upload(name, content))
        found = [row for row in answers(detecting) if row["picture"] == name]
        same_boxes(found, expected)
        expect(detecting.locator(".box")).to_have_count(len(expected))
        for width in (1280, 390):  # the boxes keep to the picture
            detecting.set_viewport_size({"width": width, "height": 900})
            side = max(Image.open(boxes / name).size)
            for row, place in zip(found, places(detecting), strict=True):
                corners = [float(row[name]) for name in ("x1", "y1", "x2", "y2")]
                assert place == pytest.approx(corners, abs=side / 100)
        table = detecting.locator("#found tbody tr")
        shown = [box["class"].replace("_", " ").lower() for box in expected]
        assert sorted(row.lower() for row in table.locator("button").all_inner_texts()) == sorted(
            shown
        )
    assert detecting.locator("#found tbody .n").first.inner_text().endswith("%")


def test_a_line_marks_its_box_and_a_reader_hears_one_sentence(detecting: Page) -> None:
    ask(detecting, upload("a.png", encoded(SCENES[0], "PNG")))
    count = detecting.locator(".box").count()
    assert count == 8
    expect(detecting.locator("#spoken")).to_have_text(re.compile(r"^a\.png: 8 found, .+\.$"))
    expect(detecting.locator("#who")).to_have_text("8 found")
    buttons = detecting.locator("#found button")
    buttons.nth(3).focus()
    expect(detecting.locator(".box").nth(3)).to_have_class(re.compile("marked"))
    detecting.keyboard.press("Tab")
    expect(detecting.locator(".box.marked")).to_have_count(1)
    expect(detecting.locator(".box").nth(4)).to_have_class(re.compile("marked"))
    detecting.locator("#found tbody tr").nth(1).hover()
    expect(detecting.locator(".box").nth(1)).to_have_class(re.compile("marked"))
    expect(detecting.locator("#watch")).to_be_hidden()  # of a classifier only
    colours = detecting.locator(".box").evaluate_all(
        "boxes => boxes.map((box) => getComputedStyle(box).borderColor)"
    )
    names = buttons.all_inner_texts()
    assert len(set(zip(names, colours, strict=True))) == len(set(names)) == len(set(colours))


def test_boxes_follow_a_shift_and_an_undo(detecting: Page, boxes: Path) -> None:
    image = SCENES[0]
    ask(detecting, upload("a.png", encoded(image, "PNG")))
    before = places(detecting)
    detecting.locator("#step").press("Control+A")
    detecting.keyboard.type("25")
    detecting.locator("[data-arrow=ArrowRight]").click()
    expect(detecting.locator("#shifted")).not_to_be_empty()
    moved = np.asarray(image)[:, np.clip(np.arange(image.width) - image.width // 4, 0, None)]
    expected = predicted(boxes, encoded(Image.fromarray(moved), "PNG"))[0]["boxes"]
    expect(detecting.locator(".box")).to_have_count(len(expected))
    centres = [np.mean([place[0::2], place[1::2]], 1) for place in places(detecting)]
    for box in expected:  # the picture that is shown is no larger than the file
        corners = np.array(box["box"])
        away = [np.abs(c - [corners[0::2].mean(), corners[1::2].mean()]).max() for c in centres]
        assert min(away) < image.width / 40
    detecting.locator("#undo").click()
    assert np.array(places(detecting)) == pytest.approx(np.array(before), abs=0.5)
    detecting.locator("#undo").click()
    expect(detecting.locator(".boxes")).to_be_hidden()
    expect(detecting.locator("#who")).to_have_text("Choose a picture and see what is in it.")


def test_nothing_is_found_below_the_threshold(detecting: Page, boxes: Path, tmp_path: Path) -> None:
    path = shutil.copyfile(boxes / "models" / FP32, tmp_path / "strict.onnx")
    rewrite(path, threshold="0.99")
    detecting.set_input_files("#model-file", path)
    expect(detecting.locator("#model-summary")).to_contain_text("strict.onnx, 3 classes")
    files = [upload(f"{n}.png", encoded(image, "PNG")) for n, image in enumerate(SCENES[:2])]
    ask(detecting, *files)
    expect(detecting.locator("#who")).to_have_text("Nothing found")
    expect(detecting.locator("#sure")).to_contain_text("99%")
    expect(detecting.locator("#spoken")).to_have_text(
        "2 pictures: something in 0, nothing in 2, no answer to 0."
    )
    rows = answers(detecting)
    assert [(row["picture"], row["class"]) for row in rows] == [("0.png", ""), ("1.png", "")]


# Series


def same_forecast(rows: list[dict[str, str]], expected: list[dict[str, Any]]) -> None:
    assert [row["time"] for row in rows] == [step["time"] for step in expected]
    for row, step in zip(rows, expected, strict=True):
        values = [step["value"], *(end for ends in step["intervals"].values() for end in ends)]
        found = [float(value) for value in list(row.values())[2 : 2 + len(values)]]
        assert found == pytest.approx(values, rel=1e-3)


def test_a_forecast_is_that_of_python(forecasting: Page, series: Path) -> None:
    expected = predicted(series, TABLE, "a.csv")[0]["forecast"]
    ask(forecasting, upload("a.csv", TABLE))
    rows = answers(forecasting)
    same_forecast(rows, expected)
    shown = forecasting.locator("#found tbody tr")
    expect(shown).to_have_count(7)
    last = expected[-1]["time"].removesuffix("T00:00:00")
    expect(shown.last.locator("th")).to_have_text(last)
    value = float(shown.first.locator("td").first.inner_text())
    assert value == pytest.approx(expected[0]["value"], rel=1e-3)
    sentence = forecasting.locator("#spoken")
    expect(sentence).to_have_text(re.compile(rf"^a\.csv: 7 values, from .* to .* at {last}\.$"))
    expect(forecasting.locator(".chart .band")).to_have_count(2)
    height = "node => node.getBoundingClientRect().height"
    assert forecasting.locator(".coming").evaluate(height) > 20
    for one in ("#camera", "#folder", "#random", "#samples", "#shift", "#watch", "#shown"):
        expect(forecasting.locator(one)).to_be_hidden()


def paste(page: Page, content: str) -> None:
    page.evaluate(
        """(text) => {
          const data = new DataTransfer();
          data.setData("text/plain", text);
          document.body.dispatchEvent(
            new ClipboardEvent("paste", { clipboardData: data, bubbles: true }),
          );
        }""",
        content,
    )


def test_a_series_is_pasted_dropped_and_taken_back(forecasting: Page, series: Path) -> None:
    paste(forecasting, TABLE.decode())
    expect(forecasting.locator("#spoken")).to_contain_text("pasted.csv: 7 values")
    same_forecast(answers(forecasting), predicted(series, TABLE, "a.csv")[0]["forecast"])
    drop(forecasting, "b.csv", text(week(200), ";", ","), "text/csv")
    expect(forecasting.locator("#rows tr")).to_have_count(2)
    shown = forecasting.locator("#shown-name")
    expect(shown).to_have_text("b.csv")
    forecasting.locator("#undo").click()
    expect(shown).to_have_text("pasted.csv")
    forecasting.locator("#undo").click()
    expect(forecasting.locator("#invitation")).to_be_visible()
    expect(forecasting.locator(".chart")).to_be_hidden()
    paste(forecasting, " ")
    assert "neither a file nor text" in told(forecasting)


REFUSED = {
    "empty": (b" \n", "This file is empty."),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "This file is no text."),
    "one column": (b"value\n1\n2\n", "has one column only, “value”"),
    "a head only": (b"day,value\n", "has a head and no values"),
    "no such column": (text(WEEKS.rename(columns={"value": "y"})), "has no column “value”"),
    "more cells": (text(WEEKS).replace(b"\n2024-01-05", b"\n1,2,2024-01-05"), "more cells"),
    "no time": (text(WEEKS.assign(day="soon")), "the first is “soon”"),
    "a zone": (text(WEEKS).replace(b"2024-01-05", b"2024-01-05T00:00Z"), "without a zone"),
    "hours": (
        text(WEEKS.assign(day=pd.date_range("2024-01-01", periods=30, freq="7h").astype(str))),
        "Most times are not in steps of D, such as",
    ),
    "too short": (text(WEEKS[:20]), "too few values, 20. A forecast needs 21."),
    "a gap": (text(WEEKS.drop(index=25)), "There is no value at 2024-01-26."),
}


def test_what_is_no_series_is_told_in_a_sentence(forecasting: Page) -> None:
    files = [upload(f"{name}.csv", content) for name, (content, _) in REFUSED.items()]
    ask(forecasting, *files, upload("good.csv", TABLE))
    rows = answers(forecasting)
    told = {row["series"]: row["error"] for row in rows}
    for name, (_, sentence) in REFUSED.items():
        assert sentence in told[f"{name}.csv"], name
    assert told["good.csv"] == ""
    forecasting.locator("#rows button", has_text="too short").click()
    expect(forecasting.locator("#sure")).to_contain_text("too short.csv: This file has too few")
    expect(forecasting.locator("#found")).to_be_hidden()


def read(page: Page, content: bytes, columns: Columns) -> tuple[list[int], list[float | None]]:
    """What the page reads out of a CSV: times in milliseconds, values."""
    times, values = page.evaluate(
        """async ([bytes, columns]) => {
          const { readTable } = await import("/table.mjs");
          const { times, values } = readTable(new Uint8Array(bytes), columns);
          return [times, values.map((value) => (Number.isNaN(value) ? null : value))];
        }""",
        [list(content), vars(columns)],
    )
    return times, values


def python_reads(content: bytes, columns: Columns) -> tuple[list[int], list[float | None]]:
    found = read_table(content, "s.csv", columns).series
    found = found[: found.last_valid_index()]
    times = pd.DatetimeIndex(found.index).as_unit("ms").asi8.tolist()
    return times, [None if np.isnan(value) else value for value in found]


def test_a_csv_is_read_as_python_reads_it(forecasting: Page) -> None:
    quoted = (
        b'day;more;value\r\n"2024-01-01";"a;""b";1.5\r\n\r\n2024-01-02;;-2e1\r\n2024-01-04;x;n/a'
    )
    more = {
        "quoted": quoted,
        "twice, torn": text(pd.concat([WEEKS, WEEKS[4:5].assign(value=0.0)])),
        "few cells": b"day,value\n2024-01-01,1\n2024-01-02\n2024-01-03,3\n",
        "cp1252": "day,value,más\n2024-01-01,1,ñ\n2024-01-02,2,ñ\n".encode("cp1252"),
        "beside": text(WEEKS).replace(b"2024-01-05", b"2024-01-05T07:00"),
    }
    for name, content in {**{how: content for how, (content, _) in READ.items()}, **more}.items():
        assert read(forecasting, content, DAYS) == python_reads(content, DAYS), name
    for content, _ in BAD.values():
        with pytest.raises(UserError):
            read_table(content, "s.csv", DAYS)
        with pytest.raises(Exception, match="error"):
            read(forecasting, content, DAYS)
    for written, how in {
        "%d.%m.%Y %H:%M": ("05.01.2024 00:00", "7.1.2024 00:00", "32.01.2024 00:00"),
        "%m/%d/%y %I:%M %p": ("1/5/24 12:30 AM", "01/07/24 12:30 am", "1/8/24 13:30 AM"),
        "%b %d %Y %I%p": ("Jan 5 2024 12PM", "jan 7 2024 12pm", "Jan 8 2024 0PM"),
        "%Y%m%d %H:%M:%S.%f": ("20240105 00:00:01.5", "20240107 00:00:01.500", "20240108"),
    }.items():
        form = Columns("day", "value", "D", 7, 7, written)
        lines = (f"{time};{value}" for time, value in zip(how, ("1", "2,5", "3"), strict=True))
        content = "\n".join(["day;value", *lines]).encode()
        found = read(forecasting, content, form)
        assert found == python_reads(content, form), written
        assert found[1] == [1, None, 2.5]


@pytest.mark.parametrize("first", ["2024-01-31T06:30", "2023-11-01", "2024-02-29", "2024-03-02"])
def test_steps_are_those_of_pandas(forecasting: Page, first: str) -> None:
    frequencies = [
        "s", "15min", "h", "6h", "D", "2D", "B", "3B", "W", "W-WED", "2W", "MS", "ME", "3MS", "QS",
        "QE", "QS-FEB", "YS", "YE", "YE-JUN",
    ]  # fmt: skip
    start = pd.Timestamp(first)
    found = forecasting.evaluate(
        """async ([first, frequencies]) => {
          const { steps } = await import("/calendar.mjs");
          return frequencies.map((frequency) => {
            const { onto, after } = steps(frequency);
            const times = [onto(first)];
            while (times.length < 9) times.push(after(times.at(-1)));
            return times;
          });
        }""",
        [int(start.timestamp() * 1000), frequencies],
    )
    for frequency, times in zip(frequencies, found, strict=True):
        expected = pd.date_range(start, periods=9, freq=frequency).as_unit("ms").asi8.tolist()
        assert times == expected, frequency


# One after the other


def test_the_page_becomes_that_of_the_model_that_is_dropped(
    detecting: Page, series: Path, tmp_path: Path
) -> None:
    """A detector, a forecaster, a classifier; and back again by Undo."""
    page = detecting
    ask(page, upload("a.png", encoded(SCENES[0], "PNG")))
    page.set_input_files("#model-file", series / "models" / FP32)
    expect(page.locator("#model-summary")).to_contain_text("springfield.onnx, 7 steps ahead")
    expect(page.locator("#invitation")).to_contain_text("Drop a CSV here")
    expect(page.locator(".box")).to_have_count(0)
    expect(page.locator("#list")).to_be_hidden()
    paste(page, TABLE.decode())
    expect(page.locator(".chart")).to_be_visible()
    expect(page.locator("#message")).to_be_hidden()
    names = json.dumps(["bright", "dark"])
    classifier = linear(tmp_path / "any.onnx", ("uint8", [1, "h", "w", 3]), classes=names)
    page.set_input_files("#model-file", classifier)
    expect(page.locator("#model-summary")).to_contain_text("any.onnx, 2 classes")
    expect(page.locator(".chart")).to_have_count(0)
    expect(page.locator("#watch")).to_be_visible()
    ask(page, upload("a.png", encoded(SCENES[0], "PNG")))
    expect(page.locator("#scores")).to_be_visible()
    expect(page.locator("#found")).to_be_empty()
    page.locator("[data-language=ru]").click()
    page.locator("#undo").click()
    page.locator("#undo").click()
    expect(page.locator(".chart")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#answer-heading")).to_have_text("Прогноз")
    expect(page.locator("#scores")).to_be_hidden()
    page.locator("#undo").click()
    page.locator("#undo").click()
    expect(page.locator(".box")).to_have_count(8, timeout=PATIENCE)
    expect(page.locator("#who")).to_have_text("Найдено: 8")
    expect(page.locator("#camera")).to_be_visible()


def test_a_damaged_forecaster_is_told(detecting: Page, series: Path, tmp_path: Path) -> None:
    path = shutil.copyfile(series / "models" / FP32, tmp_path / "wrong.onnx")
    for metadata, sentence in (
        ({"window": "[]"}, "takes or gives something else"),
        ({"window": "20"}, "takes or gives something else"),
        ({"window": "21", "horizon": "8"}, "takes or gives something else"),
        ({"horizon": "7", "columns": '{"time": "day"}'}, "takes or gives something else"),
    ):
        rewrite(path, **metadata)
        detecting.set_input_files("#model-file", path)
        expect(detecting.locator("#message p")).to_contain_text(sentence, timeout=PATIENCE)
        expect(detecting.locator("#model-summary")).to_contain_text("3 classes")
        detecting.locator("#dismiss").click()
    rewrite(path, columns=json.dumps({**vars(DAYS), "frequency": "BME"}))
    detecting.set_input_files("#model-file", path)
    expect(detecting.locator("#model-summary")).to_contain_text("7 steps ahead")
    ask(detecting, upload("a.csv", TABLE))
    expect(detecting.locator("#sure")).to_contain_text("This page knows no steps of “BME”.")


def test_a_classifier_loads_nothing_of_other_tasks(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    linear(tmp_path / "models" / FP32, ("uint8", [1, "h", "w", 3]), classes='["a", "b"]')
    context = browser.new_context(service_workers="block", locale="en-GB")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    with serving(served(tmp_path, classes=["a", "b"])) as address:
        page.goto(address)
        ready(page)
        ask(page, upload("a.png", encoded(SCENES[0], "PNG")))
    assert "classification.mjs" in asked
    others = r"detect|forecast|calendar|table|chart|tasks|playground|form|camera|ru"
    assert [name for name in asked if re.match(others, name)] == []
    context.close()


def test_a_forecaster_is_built_for_any_host(
    context: BrowserContext, series: Path, tmp_path: Path
) -> None:
    """And answers without a network after the first visit."""
    built = tmp_path / "built"
    command = [*SPRINGFIELD, "app", "--build", str(built), "--samples"]
    subprocess.run(command, cwd=series, env=ENV, check=True, capture_output=True)
    site = json.loads((built / "site.json").read_text())
    assert (site["task"], site["samples"]) == ("forecasting", {})
    assert {"forecasting.mjs", "forecast.mjs", "en.forecasting.mjs", "tasks.css"} <= set(
        site["files"]
    )
    with serving(series) as address:
        page = visit(context, address)
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.reload()
    ready(page)
    ask(page, upload("a.csv", TABLE))
    expect(page.locator(".chart")).to_be_visible()


@pytest.mark.parametrize("part", ["playground", "detection", "forecasting"])
def test_a_part_has_its_sentences_in_both_languages(detecting: Page, part: str) -> None:
    def values(sentence: str | dict[str, str]) -> set[str]:
        each = [sentence] if isinstance(sentence, str) else list(sentence.values())
        return {name for text in each for name in re.findall(r"\{(\w+)\}", text)}

    load = "(name) => import(`/${name}.mjs`).then((module) => module.default)"
    loaded = [detecting.evaluate(load, f"{name}.{part}") for name in ("en", "ru")]
    english, russian = ({k: values(v) for k, v in one.items()} for one in loaded)
    assert english == russian


@pytest.mark.parametrize("task", ["detecting", "forecasting"])
def test_no_violation_of_accessibility_rules(task: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(task)

    def audit(what: str) -> None:
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == [], what

    audit("empty")
    good = TABLE if task == "forecasting" else encoded(SCENES[0], "PNG")
    ask(page, upload("good", good), upload("bad", b"bad"))
    page.locator("#model summary").click()
    audit("refused")
    page.locator("#rows button").first.click()
    audit("answer")
    shot(page, f"app-{task}")
    page.emulate_media(color_scheme="dark")
    audit("dark")
    shot(page, f"app-{task}-dark")
    page.locator("[data-language=ru]").click()
    page.set_viewport_size({"width": 360, "height": 740})
    audit("phone")
    shot(page, f"app-{task}-phone")
    page.set_viewport_size({"width": 320, "height": 256})
    audit("400 %")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
