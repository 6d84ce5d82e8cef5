"""Forecasting: from a CSV to a tracked forecaster, through the same seven stages."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from safetensors.torch import load_file

from springfield import pipeline
from springfield.cli.forecast import forecast as say
from springfield.config import compose, load
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.series.dataset import read_split
from springfield.series.drawing.plots import forecast as draw
from springfield.series.reading.table import Columns, read_table
from springfield.series.store import read_series
from springfield.serving.predict import open_model
from springfield.stages.forecasting.network import Architecture, Calibrated, Forecaster
from springfield.stages.forecasting.scores import SIMPLE, simple_forecasts

from .conftest import REPOSITORY, STAGES, Project, experiments

EXPERIMENTS = experiments("forecasting")
TRAINING = pipeline.STAGES[:5]
DAYS = Columns("day", "value", "D", season=7, horizon=7)
SMALL = [
    "hardware=cpu", "experiment=series", "data.layout.time=day", "model.options.hidden=[4]",
    "model.input_size=21", "train.epochs=2", "train.batch_size=16", "split.val=0.15",
    "split.test=0.25",
]  # fmt: skip


def week(days: int, noise: float = 1.0) -> pd.DataFrame:
    """A level that drifts, a season of seven days, and noise."""
    rng = np.random.default_rng(3)
    steps = np.arange(days)
    values = 100 + 0.1 * steps + 10 * np.sin(steps * 2 * np.pi / 7) + noise * rng.normal(size=days)
    times = pd.date_range("2024-01-01", periods=days).strftime("%Y-%m-%d")
    return pd.DataFrame({"day": times, "value": values.round(3)})


def run(folder: Path, table: pd.DataFrame, *stages: str, overrides: tuple[str, ...] = ()) -> Paths:
    """Run stages on a table in a folder."""
    (folder / "series.csv").write_text(table.to_csv(index=False))
    chosen = [*SMALL, f"data.watch={folder / 'series.csv'}", *overrides]
    compose(REPOSITORY, folder / "params.yaml", chosen, pipeline.check)
    params, paths = load(folder / "params.yaml"), Paths.within(folder)
    machine = Machine(params.hardware, folder, None, folder / ".springfield")
    pipeline.run(params, paths, machine, *stages)
    return paths


def text(table: pd.DataFrame, separator: str = ",", decimal: str = ".") -> bytes:
    return table.to_csv(index=False, sep=separator, decimal=decimal).encode()


WEEKS = week(30)
READ: dict[str, tuple[bytes, str]] = {
    "commas": (text(WEEKS), ""),
    "semicolons and decimal commas": (text(WEEKS, ";", ","), "values have decimal commas"),
    "tabs": (text(WEEKS, "\t"), ""),
    "bars": (text(WEEKS, "|"), ""),
    "a mark of UTF-8": (b"\xef\xbb\xbf" + text(WEEKS), ""),
    "UTF-16": (text(WEEKS).decode().encode("utf-16"), ""),
    "blanks around": (text(WEEKS).replace(b",", b" , "), ""),
    "in no order": (text(WEEKS.iloc[::-1]), "times go back 29 times: lines were sorted"),
    "a line twice": (text(pd.concat([WEEKS, WEEKS[3:4]])), "1 lines repeat a time"),
    "midnights": (text(WEEKS.assign(day=WEEKS["day"] + "T00:00:00")), ""),
    "a zone in hours": (
        text(WEEKS.assign(day=WEEKS["day"] + " 05:00:00+05")),
        "times have the zones +05: they are told in UTC",
    ),
    "UTC": (text(WEEKS.assign(day=WEEKS["day"] + "T00:00:00Z")), ""),
    "two zones": (
        text(WEEKS.assign(day=WEEKS["day"] + ["T00:00+00:00", "T02:00+02:00"] * 15)),
        "times have the zones +00:00, +02:00: they are told in UTC",
    ),
    "another column": (text(WEEKS.assign(more="a, b")), ""),
}  # fmt: skip
"""How the same thirty days may be written, and what is told of it."""


@pytest.mark.parametrize("how", READ)
def test_a_series_can_be_written_in_many_ways(how: str) -> None:
    content, note = READ[how]
    found = read_table(content, "s.csv", DAYS)
    assert found.series.to_numpy() == pytest.approx(WEEKS["value"].to_numpy())
    assert list(pd.DatetimeIndex(found.series.index).strftime("%Y-%m-%d")) == WEEKS["day"].to_list()
    assert not found.refused
    assert any(note in told for told in found.notes) if note else not found.notes


def changed(row: int, column: str, value: str) -> bytes:
    table = WEEKS.astype(str)
    table.loc[row, column] = value
    return text(table)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "s.csv is empty"),
    "blank": (b"\n \n", "s.csv is empty"),
    "a head only": (b"day,value\n", "has a head and no values"),
    "one column": (b"value\n1\n2\n", "has one column only, 'value'"),
    "no such time": (text(WEEKS.rename(columns={"day": "date"})), "no column 'day'"),
    "no such value": (text(WEEKS.rename(columns={"value": "y"})), "no column 'value' .*: day, y"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "is no text; export it as CSV"),
    "more cells than names": (text(WEEKS).replace(b"\n2024-01-05", b"\n1,2,2024-01-05"), "s.csv"),
    "no time at all": (text(WEEKS.assign(day="soon")), "no line has a time .* 'soon'"),
    "another way to write times": (
        text(WEEKS.assign(day=pd.to_datetime(WEEKS["day"]).dt.strftime("%d.%m.%Y"))),
        "the first is '01.01.2024'; say how they are written in data.layout.time_format",
    ),
    "some with a zone": (changed(4, "day", "2024-01-05T00:00:00Z"), "a time without a zone"),
    "another frequency": (
        text(WEEKS.assign(day=pd.date_range("2024-01-01T05", periods=30, freq="7h").astype(str))),
        "most times are not at data.layout.frequency=D, such as .*; .* looks like 7h",
    ),
}  # fmt: skip


def test_a_line_is_told_by_its_number() -> None:
    """Also where blank ones come before it."""
    content = b"\n \n" + changed(4, "value", "warm").replace(
        b"\n2024-01-03", b"\n\n \n,\n2024-01-03"
    )
    found = read_table(content, "s.csv", DAYS)
    assert found.refused == [{"source": "s.csv, line 11", "reason": "no number: 'warm'"}]
    assert found.lines == 30


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_series_is_refused_in_a_line(what: str) -> None:
    content, message = BAD[what]
    with pytest.raises(UserError, match=message) as error:
        read_table(content, "s.csv", DAYS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("frequency", ["daily", "0D"])
def test_a_frequency_that_pandas_does_not_know(frequency: str) -> None:
    with pytest.raises(UserError, match=f"pandas knows no '{frequency}'; such as h, D, W, MS"):
        read_table(text(WEEKS), "s.csv", Columns("day", "value", frequency, 7, 7))


@pytest.mark.parametrize("frequency", ["15min", "B", "W-WED", "MS", "QS-FEB", "YS", "10YE"])
def test_every_frequency_of_pandas_is_known(frequency: str) -> None:
    times = pd.date_range("1950-01-01", periods=20, freq=frequency)
    table = pd.DataFrame({"day": times.astype(str), "value": range(20)}).drop(index=[5, 11])
    found = read_table(text(table), "s.csv", Columns("day", "value", frequency, 7, 7))
    assert found.series.index.equals(times)
    assert found.series.isna().to_numpy().nonzero()[0].tolist() == [5, 11]


@pytest.mark.parametrize(
    ("frequency", "message"),
    [("s", r"s\.csv: more than a million steps"), ("100ms", "no step is shorter than a second")],
)
def test_a_step_that_is_far_too_short_is_told(frequency: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(text(WEEKS), "s.csv", Columns("day", "value", frequency, 7, 7))


@pytest.mark.parametrize("form", ["%H:%M %d-%m-%Y", "%d.%m.%Y-%H:%M"])
def test_a_date_is_no_zone(form: str) -> None:
    table = WEEKS.assign(day=pd.to_datetime(WEEKS["day"]).dt.strftime(form))
    found = read_table(text(table), "s.csv", replace(DAYS, time_format=form))
    assert not found.notes
    assert found.series.to_numpy() == pytest.approx(WEEKS["value"].to_numpy())


def test_a_form_of_times_that_nobody_knows() -> None:
    with pytest.raises(UserError, match=r"data\.layout\.time_format=%D: 'D' is a bad directive"):
        read_table(text(WEEKS), "s.csv", replace(DAYS, time_format="%D"))


FILLED = "1 missing values are filled with the one before, the first at 2024-01-05 00:00:00"
PREPARED: dict[str, tuple[bytes, tuple[str, ...], str]] = {
    "a gap": (text(WEEKS.drop(index=4)), (), FILLED),
    "no number": (changed(4, "value", "n/a"), (), FILLED),
    "text": (changed(4, "value", "warm"), ("prepare.max_refused=0.05",), FILLED),
    "infinite": (changed(4, "value", "inf"), ("prepare.max_refused=0.05",), FILLED),
    "no time": (changed(4, "day", "soon"), ("prepare.max_refused=0.05",), FILLED),
    "two values of a day": (
        text(pd.concat([WEEKS, WEEKS[4:5].assign(value=0.0)])), (),
        "of 1 times the values differ, and count as missing",
    ),
    "not at midnight": (
        changed(4, "day", "2024-01-05T07:00"), ("prepare.max_refused=0.05",), FILLED
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PREPARED)
def test_a_hole_is_filled_and_told(what: str, tmp_path: Path) -> None:
    content, overrides, note = PREPARED[what]
    table = pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False)
    paths = run(tmp_path, table, "download", "prepare", overrides=overrides)
    report = json.loads(paths.data_report.read_text())
    assert report["values"] == 30
    assert report["filled"] == 1
    assert any(note in told for told in report["notes"])
    assert "1 values were missing" in paths.data_page.read_text()
    assert read_series(paths.series)["value"].iloc[4] == np.float32(WEEKS["value"][3])


def test_a_series_ends_with_its_last_value(tmp_path: Path) -> None:
    """What nobody measured yet is no part of it, and nothing to be scored by."""
    table = WEEKS.astype(str)
    table.loc[[0, 27, 28, 29], "value"] = ""
    paths = run(tmp_path, table, "download", "prepare")
    report = json.loads(paths.data_report.read_text())
    assert (report["values"], report["filled"]) == (26, 0)
    assert "the first or last 4 times have no value and are left out" in report["notes"]
    assert read_series(paths.series).index[-1] == pd.Timestamp("2024-01-27")


def test_a_short_series_is_scored_without_holt_winters(tmp_path: Path) -> None:
    """Which needs two seasons before the test."""
    paths = run(
        tmp_path,
        week(110),
        overrides=(
            "data.layout.season=28", "data.layout.horizon=2", "model.input_size=28",
            "split.val=0.1", "split.test=0.5", "train.epochs=1",
        ),
    )  # fmt: skip
    simple = json.loads(paths.metrics.read_text())["baseline"]
    assert {name.removesuffix("_rmse") for name in simple if name.endswith("_rmse")} == {
        "last_value", "last_value_mean", "seasonal_naive", "seasonal_naive_mean",
    }  # fmt: skip
    card = paths.card.read_text()
    assert "| seasonal naive |" in card
    assert "Holt-Winters" not in card


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            WEEKS.drop(index=range(4, 12)),
            "8 of 30 values are missing, more than prepare.max_filled",
        ),
        (
            WEEKS.assign(day=pd.date_range("2024-01-01", periods=30, freq="MS").astype(str)),
            "values are missing, .* allows; the first: .*; their frequency looks like MS",
        ),
        (WEEKS.assign(value="warm"), "30 of 30 lines cannot be used.* line 2: no number: 'warm'"),
        (WEEKS.assign(value=""), "the column 'value' has no numbers"),
        (WEEKS.assign(value=5), "'value' is 5.0 at all times"),
        (WEEKS[:20], "has 20 values; two seasons of 7 and a horizon of 7 need 21"),
    ],
)
def test_too_little_of_a_series_is_refused(
    table: pd.DataFrame, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, table, "download", "prepare")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("split.test=0.7",), "train has .* values and needs"),
        (("split.val=0.01",), "val has .* values and needs 7"),
        (("split.val=0.5", "split.test=0.499"), "nothing for train .* make .* smaller"),
        (("model.options.hidden=[0]",), "model.options: "),
        (("model.input_size=300",), "train has .* values and needs 307"),
        (("model.input_size=5",), "less than a season of 7"),
        (("model.backbone=gru",), "no 'gru'; there is: lstm"),
        (("+model.options.layers=3",), "model.options: .*'layers'"),
        (("augment.online=[{name: Flip}]",), r"there is \[\{name: Jitter, sigma: ...\}\]"),
        (("model.levels=[0.95, 0.8]",), "each once, the narrowest first"),
    ],
)
def test_params_that_do_not_fit_are_refused(
    overrides: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(
            tmp_path,
            week(150),
            "download",
            "prepare",
            "split",
            "augment",
            "train",
            overrides=overrides,
        )


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """All stages, on 280 days."""
    return run(tmp_path_factory.mktemp("forecast"), week(280))


def test_a_forecast_is_scored_beside_simple_ones(forecast: Paths) -> None:
    metrics = json.loads(forecast.metrics.read_text())
    test, simple = metrics["test"], metrics["baseline"]
    assert metrics["primary"] == {"name": "rmse", "higher": False}
    assert test["n"] == 10
    # Noise of 1 is what nobody can know; smoothing, which it starts from, sees the rest.
    assert 0.8 < test["rmse"] < 1.3 < simple["seasonal_naive_rmse"] < 3 < simple["last_value_rmse"]
    assert test["rmse_low"] < test["rmse"] < test["rmse_high"]
    assert test["mase"] < 1
    assert 0.6 < test["coverage_80"] < test["coverage_95"] <= 1
    steps = pd.read_csv(forecast.evaluation / "by_step.csv")
    assert list(steps["step"]) == list(range(1, 8))
    assert np.sqrt((steps["rmse"] ** 2).mean()) == pytest.approx(test["rmse"], rel=1e-4)
    for name in ("forecasts", "errors", "residuals", "inside", "curves"):
        assert (forecast.evaluation / f"{name}.png").stat().st_size > 10_000


def test_the_exported_files_forecast_as_the_evaluation_did(forecast: Paths) -> None:
    described = json.loads(forecast.description.read_text())
    table = pd.read_csv(forecast.evaluation / "predictions.csv")
    assert list(table.columns[:4]) == ["id", "group", "score", "observed"]
    sides = read_split(forecast.series, forecast.index, forecast.split)
    origins = [sides.times.index(time) for time in table["id"]]
    given, coming = sides.windows(np.array(origins), 21, 7)
    for file in (forecast.onnx, forecast.int8):
        session = onnxruntime.InferenceSession(file)
        quantiles = session.run(None, {"values": given})[0]
        assert quantiles.shape == (len(table), 7, len(described["quantiles"]))
        assert (np.diff(quantiles, axis=-1) >= 0).all()
        squares = ((quantiles[..., 2] - coming) ** 2).mean(1)
        assert -squares == pytest.approx(table["score"].to_numpy(), rel=0.05, abs=0.05)
    assert described["quantiles"] == [0.025, 0.1, 0.5, 0.9, 0.975]
    card = forecast.card.read_text()
    assert all(f"| {name} |" in card for name in SIMPLE.values())
    assert "None" not in card.split("## How to use it")[0]


@pytest.mark.parametrize(
    ("frequency", "shown"),
    [("D", ["2024-10-07", "2024-10-08"]), ("12h", ["2024-05-20T00:00:00", "2024-05-20T12:00:00"])],
)
def test_midnight_is_written_where_others_have_an_hour(
    forecast: Paths,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    frequency: str,
    shown: list[str],
) -> None:
    opened = open_model(forecast.onnx)
    columns = json.loads(opened.metadata["columns"]) | {"frequency": frequency}
    metadata = opened.metadata | {"columns": json.dumps(columns)}
    table = week(280)
    table["day"] = pd.date_range("2024-01-01", periods=280, freq=frequency).astype(str)
    (tmp_path / "series.csv").write_text(table.to_csv(index=False))
    say(replace(opened, metadata=metadata), [tmp_path / "series.csv"], None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[3:5]] == shown


def test_large_values_are_told_apart(
    forecast: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By as many digits as the intervals are narrow."""
    table = week(60)
    table["value"] += 100_000
    (tmp_path / "pressure.csv").write_text(table.to_csv(index=False))
    say(open_model(forecast.onnx), [tmp_path / "pressure.csv"], None, as_json=False)
    lines = capsys.readouterr().out.splitlines()[3:10]
    assert len(lines) == 7
    assert all(re.search(r" 10\d{4}\.\d\d to 10\d{4}\.\d\d ", line) for line in lines)


def test_a_plot_goes_to_a_folder_that_is_there(
    forecast: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, opened = tmp_path / "series.csv", open_model(forecast.onnx)
    file.write_text(week(60).to_csv(index=False))
    with pytest.raises(UserError, match=r"--plot: there is no folder .*out$"):
        say(opened, [file], tmp_path / "out/next.png", as_json=False)
    for name in ("next.txt", "next"):
        with pytest.raises(UserError, match=rf"--plot writes .*, png, .*, not {name}$"):
            say(opened, [file], tmp_path / name, as_json=False)
    assert list(tmp_path.glob("next*")) == []
    say(opened, [file], tmp_path / "next.svg", as_json=False)
    assert "<svg" in (tmp_path / "next.svg").read_text()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"--plot: 'xelatex' not found"):
        say(opened, [file], tmp_path / "tex.pgf", as_json=False)


def test_of_one_forecast_nobody_knows_how_sure_its_score_is(tmp_path: Path) -> None:
    """Of how many values an interval holds something is known, of an error nothing."""
    paths = run(tmp_path, week(150), overrides=("split.val=0.05", "train.epochs=1"))
    val = json.loads(paths.metrics.read_text())["val"]
    assert val["n"] == 1
    assert val["rmse_low"] is None is val["rmse_high"]
    (row,) = (line for line in paths.card.read_text().splitlines() if line.startswith("| val"))
    cells = [cell.strip() for cell in row.split("|")[3:-1]]
    assert cells[0] == f"{val['rmse']:.4g}"
    assert ["(" in cell for cell in cells] == [False] * 4 + [True] * 2


def test_nothing_that_comes_later_is_seen(forecast: Paths, tmp_path: Path) -> None:
    """Another test side leaves the network, and the forecast of its first week, as they are."""
    table = week(280)
    table.loc[table.index >= 210, "value"] += 1000
    other = run(tmp_path, table, *pipeline.STAGES[:6])
    weights, same = (load_file(p.checkpoint / "model.safetensors") for p in (forecast, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    said, changed = (pd.read_csv(p.evaluation / "predictions.csv") for p in (forecast, other))
    assert said["id"].equals(changed["id"])
    assert said["forecast"][0] == changed["forecast"][0]
    assert changed["observed"][0] == pytest.approx(said["observed"][0] + 1000, abs=0.01)
    assert (changed["forecast"][1:] > said["forecast"][1:] + 500).all()  # which know of it
    first, moved = (
        simple_forecasts(v, np.array([210]), 7, 7) for v in both_values(forecast, other)
    )
    assert all((first[name] == moved[name]).all() for name in first)


def test_a_forecast_of_one_step_is_seen() -> None:
    """Its band, its median and what came, though a line of one point is none."""
    times = pd.date_range("2024-01-01", periods=13)
    known = pd.Series(np.arange(12.0), times[:12])
    coming = pd.DataFrame([[8.0, 10, 12, 14, 16]], times[12:])
    figure = Figure(figsize=(4, 3))
    draw(figure.subplots(), known, coming, pd.Series([11.0], times[12:]), [0.8, 0.95])
    content = BytesIO()
    figure.savefig(content, format="png")
    content.seek(0)
    pixels = imread(content)[..., :3].reshape(-1, 3)
    band, middle, came = ((1.0, 0.8, 0.6), (1.0, 0.5, 0.05), (0.12, 0.47, 0.71))
    for colour in (band, middle, came):
        assert (np.abs(pixels - colour).max(1) < 0.15).sum() > 5, colour


def rmse(paths: Paths) -> float:
    return float(json.loads(paths.metrics.read_text())["test"]["rmse"])


def test_a_linear_layer_knows_what_far_values_tell(tmp_path: Path) -> None:
    """Each value is the one of 17 days ago with its sign changed, and noise of 1."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 2, 600)
    for day in range(17, len(values)):
        values[day] = -0.9 * values[day - 17] + rng.normal()
    table = week(len(values)).assign(value=values.round(3))
    learnt = ("train.epochs=8", "optimizer.lr=0.02", "model.options.direct=true")
    found = run(tmp_path, table, *pipeline.STAGES[:6], overrides=learnt)
    assert rmse(found) < 1.2 < 2 < values[300:].std()


def test_a_network_without_smoothing_learns_a_strong_season(tmp_path: Path) -> None:
    """Which changes little from one to the next, beside its own size."""
    table = week(280, noise=0.1)
    table["value"] -= 0.1 * table.index
    alone = ("model.options.seasonal=false", "train.epochs=20", "optimizer.lr=0.02")
    found = run(tmp_path, table, *pipeline.STAGES[:6], overrides=alone)
    simple = json.loads(found.metrics.read_text())["baseline"]
    assert rmse(found) < 0.5 * simple["last_value_rmse"]


def both_values(*paths: Paths) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return [read_split(p.series, p.index, p.split).values.astype(np.float64) for p in paths]


def test_the_same_params_give_the_same_forecaster(forecast: Paths, tmp_path: Path) -> None:
    again = run(tmp_path, week(280), *TRAINING)
    weights = [load_file(p.checkpoint / "model.safetensors") for p in (forecast, again)]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())


def test_each_interval_is_widened_by_its_own_factor() -> None:
    """And one within the other, also if the narrower one has to grow more."""
    options = {"hidden": [4], "seasonal": True, "direct": False}
    architecture = Architecture("lstm", 14, 3, 7, [0.5, 0.8, 0.95], 0.0, 1.0, 0.0, options)
    model, known = Forecaster(architecture), torch.randn(5, 14)
    plain, own = (Calibrated(model, f)(known) for f in ([1.0, 1.0, 1.0], [2.0, 0.1, 9.0]))
    assert (own.diff(dim=-1) >= 0).all()
    ends, far = ([q[..., [3 - n, 3 + n]] - q[..., [3]] for n in (1, 2, 3)] for q in (plain, own))
    torch.testing.assert_close(far[0], 2 * ends[0])
    torch.testing.assert_close(far[1], far[0])  # a tenth of its own would be within the first
    torch.testing.assert_close(far[2], 9 * ends[2])


def test_holt_winters_goes_on_as_the_library_does() -> None:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    values = week(200)["value"].to_numpy()
    found = simple_forecasts(values, np.array([150, 151, 171]), 7, 7)["holt_winters"]
    fitted = ExponentialSmoothing(
        values[:150], trend="add", seasonal="add", seasonal_periods=7,
        initialization_method="estimated",
    ).fit()  # fmt: skip
    assert found[0] == pytest.approx(fitted.forecast(7), rel=1e-6)
    names = (f"smoothing_{part}" for part in ("level", "trend", "seasonal"))
    given = {name: fitted.params[name] for name in names}
    later = ExponentialSmoothing(
        values[:171], trend="add", seasonal="add", seasonal_periods=7,
        initialization_method="known", initial_level=fitted.params["initial_level"],
        initial_trend=fitted.params["initial_trend"],
        initial_seasonal=fitted.params["initial_seasons"],
    ).fit(**given, optimized=False)  # fmt: skip
    assert found[2] == pytest.approx(later.forecast(7), rel=1e-6)


def answer(project: Project, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        project.run("springfield", "predict", "--json", *arguments).stdout
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_forecast_trains(experiment: Path, finished: Project) -> None:
    """On a drawn series, with the experiment's own recipe and network."""
    (finished.path / "data/series.csv").write_text(week(280).to_csv(index=False))
    drawn = ("data=series", "data.layout.time=day", "split.val=0.1", "split.test=0.2")
    small = ("hardware=cpu", "model.input_size=14", "train.batch_size=4")
    finished.springfield("compose", f"experiment={experiment.stem}", *drawn, *small)
    for stage in ("download", "prepare", "split", "augment"):
        finished.springfield(stage)
    for preset in ("fast", "profile"):
        assert "images per second" in finished.springfield("train", "--preset", preset)


@pytest.mark.slow
@pytest.mark.parametrize(("lr", "status"), [("0.01", 0), ("1e-9", 1)])
def test_overfit_learns_64_windows_by_heart_or_says_that_it_cannot(
    lr: str, status: int, tmp_path: Path
) -> None:
    chosen = (f"optimizer.lr={lr}", "model.options.hidden=[64]")
    run(tmp_path, week(280), "download", "prepare", "split", "augment", overrides=chosen)
    output = Project(tmp_path).springfield("train", "--preset", "overfit", status=status)
    assert "train error on 64 windows: " in output
    assert ("error: 64 windows are not learnt by heart" in output) == bool(status)


@pytest.mark.slow
def test_a_csv_of_ones_own_becomes_a_champion(finished: Project, tmp_path: Path) -> None:
    """With commands only, and reruns what changed."""
    table = week(280)
    (finished.path / "data/series.csv").write_text(table.to_csv(index=False))
    own = [o for o in SMALL if not o.startswith("experiment")]
    finished.springfield("use", "series")
    finished.springfield("compose", *own)
    assert finished.repro() == [
        "config", "download", "prepare", "split", "augment", "train", "evaluate", "export"
    ]  # fmt: skip
    assert finished.repro() == []
    finished.springfield("compose", *own, "optimizer.lr=0.01")
    assert finished.repro() == ["config", "train", "evaluate", "export"]
    assert "version 2 (models/springfield.onnx) is the champion of series" in finished.springfield(
        "promote"
    )
    assert "test rmse" in finished.springfield("compare", "1")
    (found,) = answer(finished, "data/series.csv")
    assert found["forecast"][0]["time"] == "2024-10-07T00:00:00"
    assert len(found["forecast"]) == 7
    output = finished.springfield("predict", "data/series.csv", "--plot", "next.png")
    assert "2024-10-13" in output
    assert (finished.path / "next.png").is_file()
    (finished.path / "short.csv").write_text(table[:9].to_csv(index=False))
    message = "short.csv has 9 values; a forecast needs 21"
    assert message in finished.springfield("predict", "short.csv", status=1)
    message = "gone.csv is no file; name a CSV"
    assert message in finished.springfield("predict", "gone.csv", status=1)
    told = finished.springfield("summary")
    assert all(f"test, {name}" in told for name in SIMPLE.values())
    assert re.search(r"models/springfield\.onnx \(\d\d kB\)", told)
    assert "EXPERIMENT=temperature" in told
    with (finished.path / "data/series.csv").open("a") as file:
        file.write("2024-10-07,120.0\n")
    assert finished.repro() == STAGES[1:]
