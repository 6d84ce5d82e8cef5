"""A detector handed on: its files, its card, and the commands that find with it."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from springfield import pipeline
from springfield.config import compose, load
from springfield.images.store import ImageStore
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.serving import page
from springfield.serving.detect import Detector
from springfield.serving.predict import open_model
from springfield.stages.detection import export
from springfield.stages.detection.export import Found, agreement
from springfield.stages.detection.network import load_checkpoint

from .conftest import REPOSITORY, Project
from .test_serve import JSON, ask, schema, serving

SMALL = (
    "hardware=cpu", "data.source.sample_boxes=0.1", "prepare.shorter_side=64",
    "model.backbone=test_resnet", "model.input_size=64", "model.width=16", "train.epochs=2",
    "train.ema=0.5", "evaluate.baseline=false", "export.calibration=8",
)  # fmt: skip
"""Of the drawn sample, in seconds."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A folder in which all stages ran."""
    folder = tmp_path_factory.mktemp("detector")
    compose(REPOSITORY, folder / "params.yaml", ["experiment=sample_boxes", *SMALL], pipeline.check)
    params, paths = load(folder / "params.yaml"), Paths.within(folder)
    pipeline.run(params, paths, Machine(params.hardware, folder, None, folder / ".springfield"))
    return Project(folder)


@pytest.fixture(scope="module")
def frames(made: Project) -> list[NDArray[np.uint8]]:
    """Of the prepared pictures, which are alike in size."""
    paths = Paths.within(made.path)
    store = ImageStore(paths.images)
    ids = [line.split(",")[0] for line in paths.index.read_text().splitlines()[1:4]]
    return [store[i] for i in ids]


@pytest.fixture
def pictures(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, frame in enumerate(frames[:2]):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


def answer(project: Project, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        project.run("springfield", "predict", "--json", *arguments).stdout
    )
    return found


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("view", [(1, 1), (2, 3)])
def test_the_file_finds_what_the_checkpoint_finds(
    made: Project, frames: list[NDArray[np.uint8]], count: int, view: tuple[int, int]
) -> None:
    """In batches and pictures of any size: each box has one of its class, place and score."""
    images = np.stack(frames)[:count, :: view[0], :: view[1]]
    with torch.inference_mode():
        expected = load_checkpoint(made.path / "models/checkpoint")(torch.from_numpy(images))
    session = onnxruntime.InferenceSession(made.path / "models/springfield.onnx")
    found = session.run(["boxes", "scores", "labels"], {"image": images})
    described = json.loads((made.path / "models/model.json").read_text())
    for output, values in zip(described["outputs"], found, strict=True):
        assert [count, *output["shape"][1:]] == list(values.shape)
        assert output["dtype"] == values.dtype
    height, width = images.shape[1:3]
    for row in range(count):
        boxes, scores, labels = (torch.from_numpy(part[row]) for part in found)
        assert (scores.diff() <= 0).all()
        assert (boxes.amax(0) <= torch.tensor([width, height] * 2) + 1e-3).all()
        assert (boxes[scores == 0] == 0).all()
        lowest = scores[scores > 0].min()  # others may have taken the last places
        for box, score, label in zip(*(part[row] for part in expected), strict=True):
            near = ((boxes - box).abs().amax(1) < 0.5) & ((scores - score).abs() < 1e-3)
            assert (near & (labels == label)).any() or score <= lowest + 1e-3


def test_the_report_and_the_card_say_how_good_it_is(made: Project) -> None:
    paths = Paths.within(made.path)
    metrics = json.loads(paths.metrics.read_text())
    report = json.loads(paths.export_report.read_text())
    assert report["same_boxes"] >= 0.999
    assert report["largest_difference_pixels"] < 0.5
    assert report["map50"]["checkpoint"] == pytest.approx(metrics["test"]["map50"], abs=1e-4)
    assert report["map50"]["checkpoint"] - report["map50"]["int8"] <= 0.01
    metadata = {p.key: p.value for p in onnx.load(paths.onnx).metadata_props}
    threshold = json.loads(paths.calibration.read_text())["threshold"]
    assert json.loads(metadata["threshold"]) == threshold
    assert json.loads(metadata["task"]) == "detection"
    card = ModelCard.load(paths.card)
    found = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results or []}
    assert found["test", "mAP@0.5"] == pytest.approx(metrics["test"]["map50"], abs=1e-4)
    assert card.data.pipeline_tag == "object-detection"
    for row in metrics["per_class"]["test"]:
        assert f"| {row['class']} | {row['n']} |" in card.text
    assert "None" not in card.text.split("## How to use it")[0]


def test_the_code_of_the_card_runs(made: Project, pictures: Path) -> None:
    code = (made.path / "models/README.md").read_text().split("```python")[1].split("```")[0]
    shutil.copy(made.path / "models/springfield.onnx", pictures)
    Image.open(pictures / "0.png").save(pictures / "picture.jpg")
    subprocess.run([sys.executable, "-c", code], cwd=pictures, check=True)


def test_where_int8_is_no_good_the_report_says_why(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.path, tmp_path / "made")
    monkeypatch.setattr(export, "MAX_INT8_LOSS", -2.0)
    params, paths = load(tmp_path / "made/params.yaml"), Paths.within(tmp_path / "made")
    pipeline.run(params, paths, Machine(params.hardware), "export")
    report = json.loads(paths.export_report.read_text())
    assert "of mAP50 at best, more than" in report["no_int8"]
    assert paths.int8.read_bytes() == paths.onnx.read_bytes()
    assert "There is no int8: int8 loses" in paths.card.read_text()


def few(boxes: list[list[float]], scores: list[float], labels: list[int]) -> list[Found]:
    return [Found(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels))]


ALL = few([[0, 0, 9, 9], [5, 5, 20, 20], [1, 1, 2, 2]], [0.5, 0.5, 0.1], [1, 2, 0])


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (ALL, 1),
        (few([[5, 5, 20, 20], [0, 0, 9, 9], [1, 1, 2, 2]], [0.5, 0.5, 0.1], [2, 1, 0]), 1),
        (few([[0, 0, 9, 9.4], [5, 5, 20, 20], [1, 1, 2, 2]], [0.5005, 0.5, 0.1], [1, 2, 0]), 1),
        (few([[0, 0, 9, 9.6], [5, 5, 20, 20], [1, 1, 2, 2]], [0.5, 0.5, 0.1], [1, 2, 0]), 2 / 3),
        (few([[0, 0, 9, 9], [5, 5, 20, 20], [1, 1, 2, 2]], [0.5, 0.5, 0.1], [1, 1, 0]), 2 / 3),
        (few([[0, 0, 9, 9], [5, 5, 20, 20], [1, 1, 2, 2]], [0.51, 0.5, 0.1], [1, 2, 0]), 2 / 3),
        (few([[0, 0, 9, 9], [1, 1, 2, 2], [0, 0, 0, 0]], [0.5, 0.1, 0.0], [1, 0, 0]), 4 / 5),
        (few([[0, 0, 9, 9], [5, 5, 20, 20], [7, 7, 8, 8]], [0.5, 0.5, 0.1], [1, 2, 0]), 1),
        (few([[np.nan] * 4] * 3, [np.nan] * 3, [1, 2, 0]), 0),
    ],
    ids=["same", "another order", "nearly", "place", "class", "score", "lacks", "last", "NaN"],
)
def test_two_agree_as_far_as_each_has_the_boxes_of_the_other(
    found: list[Found], same: float
) -> None:
    assert agreement(ALL, found)[0] == pytest.approx(same)
    assert agreement(found, ALL)[0] == pytest.approx(same)


def test_boxes_are_listed_in_pixels_of_the_whole_picture(
    made: Project, frames: list[NDArray[np.uint8]], pictures: Path
) -> None:
    """Also of one that is made smaller first, and one that calls another thing its size."""
    small = Image.fromarray(frames[0])
    large = small.resize((small.width * 30, small.height * 30), Image.Resampling.NEAREST)
    note = PngImagePlugin.PngInfo()
    note.add_text("size", "A4")
    large.save(pictures / "large.png", pnginfo=note)
    options = ("--threshold", "0.0")
    first, large_one = answer(made, str(pictures / "0.png"), str(pictures / "large.png"), *options)
    assert len(first["boxes"]) > 20
    ends = [max(box["box"][2] for box in one["boxes"]) for one in (first, large_one)]
    assert ends[0] <= small.width
    assert ends[1] == pytest.approx(30 * ends[0], rel=0.1)
    threshold = Detector(open_model(made.path / "models/springfield.onnx")).threshold
    kept = [box for box in first["boxes"] if box["score"] >= threshold]
    assert answer(made, str(pictures / "0.png")) == [{**first, "boxes": kept}]


def test_boxes_are_drawn_into_copies(made: Project, pictures: Path, tmp_path: Path) -> None:
    (pictures / "more").mkdir()
    shutil.copy(pictures / "0.png", pictures / "more/0.png")
    drawn = tmp_path / "drawn"
    before = (pictures / "0.png").read_bytes()
    output = made.springfield("predict", str(pictures), "--draw", str(drawn), "--threshold", "0")
    assert "x1 y1 x2 y2" in output
    assert sorted(path.name for path in drawn.iterdir()) == ["0.png", "0_2.png", "1.png"]
    assert (pictures / "0.png").read_bytes() == before
    assert Image.open(drawn / "0.png").size == Image.open(pictures / "0.png").size
    assert np.any(np.array(Image.open(drawn / "0.png")) != np.array(Image.open(pictures / "0.png")))


@pytest.mark.parametrize(
    ("limit", "folder", "told"),
    [("unlimited", "file/found", "Not a directory"), ("0", "found", "File too large")],
    ids=["no folder", "no room"],
)
def test_what_cannot_be_drawn_is_no_picture_that_cannot_be_read(
    made: Project, pictures: Path, tmp_path: Path, limit: str, folder: str, told: str
) -> None:
    (tmp_path / "file").touch()
    drawn = tmp_path / folder
    model = made.path / "models/springfield.onnx"
    command = f"ulimit -f {limit}; springfield predict {pictures} --draw {drawn} --model {model}"
    ended = made.run("bash", "-c", command, status=1)
    line = ended.stderr.strip().splitlines()[-1]
    assert line == f"error: --draw: {drawn} cannot be written into: {told}"
    assert not list(tmp_path.glob("found/.*"))


def test_what_is_no_picture_is_told_in_a_line(
    made: Project, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "\x1b[2J[red]\x9b\u202egnp.png").write_bytes(b"no picture")
    output = made.springfield("predict", str(pictures), status=1)
    assert "\\x1b[2J[red]\\x9b\\u202egnp.png" in output.replace("\n", "")
    assert not set("\x1b\x9b\u202e") & set(output)
    assert "not a picture of a known format" in output
    assert "1 of 3 pictures cannot be read" in output
    (tmp_path / "empty").mkdir()
    picture = str(pictures / "0.png")
    for arguments, told in (
        (("predict", str(tmp_path / "empty")), "has no pictures"),
        (("predict", picture, "--plot", "x.png"), "--plot is for models of forecasting"),
        (("explain", picture), "finds boxes: 'springfield predict picture.jpg'"),
    ):
        lines = made.springfield(*arguments, status=1).strip().splitlines()
        assert len(lines) == 1
        assert told in lines[0]


def test_a_class_cannot_steer_the_terminal(made: Project, pictures: Path, tmp_path: Path) -> None:
    model = onnx.load(made.path / "models/springfield.onnx")
    metadata = {p.key: p.value for p in model.metadata_props}
    names = ["\x1b[2J[red]\u0416", *json.loads(metadata["classes"])[1:]]
    onnx.helper.set_model_props(model, metadata | {"classes": json.dumps(names)})
    onnx.save(model, tmp_path / "model.onnx")
    options = ("--threshold", "0", "--draw", str(tmp_path / "drawn"))
    given = ("--model", str(tmp_path / "model.onnx"), str(pictures))
    output = made.springfield("predict", *options, *given)
    assert "\x1b" not in output
    assert "\\x1b[2J[red]Ж" in output


def test_boxes_need_the_light_install_only(made: Project, pictures: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from springfield.cli.pictures import detect;"
        "from springfield.serving.predict import open_model;"
        "model = open_model(Path('models/springfield.onnx'));"
        "detect(model, [Path(sys.argv[1])], 0.0, Path(sys.argv[1]) / 'drawn', as_json=True);"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    found = made.run(sys.executable, "-c", code, str(pictures)).stdout.splitlines()[-1]
    heavy = {"torch", "dvc", "mlflow", "pandas", "pyarrow", "timm", "onnx", "cv2", "hydra"}
    assert not heavy & set(found.split())


def test_the_page_knows_that_it_shows_a_detector(made: Project, tmp_path: Path) -> None:
    runtime = tmp_path / "node_modules/onnxruntime-web/dist"
    runtime.mkdir(parents=True)
    shutil.copy(REPOSITORY / "web/index.html", tmp_path)
    for name in page.RUNTIME:
        (runtime / name).touch()
    content = page.site(tmp_path, Paths.within(made.path), samples=True)
    assert isinstance(content["site.json"], bytes)
    site = json.loads(content["site.json"])
    assert site["task"] == "detection"
    described = json.loads((made.path / "models/model.json").read_text())
    assert set(site["samples"].values()) <= set(described["classes"])
    assert site["samples"]  # of its own test side


@pytest.fixture(scope="module")
def port(made: Project) -> Iterator[int]:
    with serving(made) as (port, _):
        yield port


def test_a_server_answers_with_boxes(
    port: int, made: Project, frames: list[NDArray[np.uint8]]
) -> None:
    described = schema(port, "/invocations", "post")
    status, by_json = ask(port, json.dumps({"inputs": np.stack(frames).tolist()}).encode(), JSON)
    assert status == 200
    jsonschema.validate(by_json, described)
    assert len(by_json["predictions"]) == len(frames)
    detector = Detector(open_model(made.path / "models/springfield.onnx"))
    for frame, prediction in zip(frames, by_json["predictions"], strict=True):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "PNG")
        status, by_png = ask(port, file.getvalue(), {"Content-Type": "image/png"})
        assert status == 200
        jsonschema.validate(by_png, described)
        alone = detector.batch(frame[None], detector.threshold)[0]
        assert len(by_png["predictions"][0]["boxes"]) == len(alone)
        assert len(prediction["boxes"]) == len(alone)
    assert ask(port, b"", {"Content-Type": "image/png"})[0] == 400


@pytest.mark.slow
@pytest.mark.parametrize(("lr", "status"), [("0.01", 0), ("1e-9", 1)])
def test_overfit_learns_frames_by_heart_or_says_that_it_cannot(
    made: Project, lr: str, status: int, tmp_path: Path
) -> None:
    project = made.copy(tmp_path / "copy")
    compose(
        REPOSITORY, project.path / "params.yaml",
        ["experiment=sample_boxes", *SMALL, f"optimizer.lr={lr}", "model.width=64"],
    )  # fmt: skip
    output = project.springfield("train", "--preset", "overfit", status=status)
    assert "train mAP50 on 38 frames: " in output  # there are no more
    assert ("error: 38 frames are not learnt by heart" in output) == bool(status)


@pytest.mark.slow
def test_a_detector_becomes_a_champion(project: Project) -> None:
    """With commands only."""
    project.springfield("compose", "experiment=sample_boxes", *SMALL)
    project.repro()
    project.springfield("compose", "experiment=sample_boxes", *SMALL, "optimizer.lr=0.01")
    assert project.repro() == ["config", "train", "evaluate", "export"]
    client = MlflowClient(project.store)
    versions = client.search_model_versions("name = 'springfield-sample_boxes'")
    assert [str(v.description).split()[:2] for v in versions] == [["test", "map50"]] * 2
    promoted = project.springfield("promote")
    assert "version 2 (models/springfield.onnx) is the champion of sample_boxes" in promoted
    assert "test map50" in project.springfield("compare", "1")
    logged = {"train_class_loss", "train_box_loss", "train_quality_loss", "val_map50", "test_map50"}
    assert logged <= set(client.get_run(str(versions[0].run_id)).data.metrics)
    assert "mAP50" in project.springfield("summary")
    assert project.repro() == []
    for preset in ("fast", "profile"):
        assert "images per second" in project.springfield("train", "--preset", preset)
