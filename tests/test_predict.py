"""Naming pictures with an exported model: the command, and the class behind it."""

import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from springfield.images.store import ImageStore
from springfield.machine.errors import UserError
from springfield.serving.explain import occlusion, overlay
from springfield.serving.predict import Predictor, find_pictures, pixels
from springfield.stages.classification.network import Probabilities, load_checkpoint

from .conftest import REPOSITORY, Project

SIZES = [(32, 32), (31, 33), (64, 64), (48, 96), (96, 48), (200, 150), (299, 299), (17, 90),
         (640, 480), (1000, 300)]  # fmt: skip


@pytest.fixture(scope="module")
def frame(done: Project) -> Image.Image:
    images = ImageStore(done.path / "data/prepared/images.arrow")
    first = (done.path / "data/prepared/index.csv").read_text().splitlines()[1].split(",")[0]
    return Image.fromarray(images[first])


@pytest.fixture
def pictures(tmp_path: Path, frame: Image.Image) -> Path:
    """The same picture in ten sizes and shapes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for width, height in SIZES:
        frame.resize((width, height)).save(folder / f"{width}x{height}.png")
    return folder


def test_checkpoint_file_command_and_class_agree(done: Project, pictures: Path) -> None:
    temperature = json.loads((done.path / "models/calibration.json").read_text())["temperature"]
    network = Probabilities(load_checkpoint(done.path / "models/checkpoint"), temperature).eval()
    model = done.path / "models/springfield.onnx"
    predictor = Predictor(model)
    printed = done.run("springfield", "predict", str(pictures), "--json", "--top", "10").stdout
    answers = json.loads(printed)
    assert len(answers) == len(SIZES)
    for answer in answers:
        content = Path(answer["picture"]).read_bytes()
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels(content)[None]))[0].numpy()
        from_class = predictor.predict(content)
        by_command = {entry["class"]: entry["probability"] for entry in answer["top"]}
        assert by_command == from_class
        assert list(from_class) == sorted(from_class, key=lambda n: -from_class[n])
        assert answer["sure"] == (max(from_class.values()) >= predictor.threshold)
        found = [from_class[name] for name in predictor.classes]
        assert found == pytest.approx(expected.tolist(), abs=1e-3)


def test_a_picture_is_seen_as_people_see_it(done: Project, frame: Image.Image) -> None:
    predictor = Predictor(done.path / "models/springfield.onnx")

    def seen(image: Image.Image, kind: str = "PNG", **options: object) -> list[float]:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return list(predictor.predict(file.getvalue()).values())

    expected = seen(frame)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right
    turned = frame.rotate(90, expand=True)
    assert seen(turned, exif=exif) == pytest.approx(expected, abs=1e-4)
    assert seen(turned) != pytest.approx(expected, abs=1e-4)
    clear = frame.convert("RGBA")
    clear.putalpha(255)
    assert seen(clear) == pytest.approx(expected, abs=1e-4)
    assert seen(frame, "WEBP", lossless=True) == pytest.approx(expected, abs=1e-4)


def test_a_huge_picture_is_made_smaller_first(frame: Image.Image) -> None:
    file = io.BytesIO()
    frame.resize((6000, 3000)).save(file, "PNG")
    assert pixels(file.getvalue()).shape == (750, 1500, 3)


def test_one_bad_picture_does_not_stop_the_others(done: Project, pictures: Path) -> None:
    (pictures / "text.png").write_text("no picture")
    missing = pictures / "missing.png"
    output = done.springfield("predict", str(pictures), str(missing), status=1)
    assert output.count("%") >= len(SIZES)
    assert "not a picture" in output
    assert "No such file" in output
    assert f"2 of {len(SIZES) + 2} pictures cannot be read" in output


def test_a_folder_gives_what_may_be_pictures_and_nothing_hidden(
    tmp_path: Path, frame: Image.Image, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path /= "\x1b[2J[red]"
    png = io.BytesIO()
    frame.save(png, "PNG")
    kept = ["a/1.png", "a/no suffix", "b.heic", "drawing.EPS", "link/1.png"]
    others = [".1.png", ".ipynb_checkpoints/1.png", "__MACOSX/a/1.png", "Thumbs.db", "a/notes.txt"]
    for name in {*kept, *others} - {"link/1.png"}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(
            b"text" if name.endswith((".txt", ".EPS", ".heic")) else png.getvalue()
        )
    (tmp_path / "link").symlink_to("a")
    found = [str(path.relative_to(tmp_path)) for path in find_pictures([tmp_path])]
    assert sorted(found) == sorted([*kept, "link/no suffix"])
    assert "\\x1b[2J[red]: 6 hidden files or no pictures passed over" in capsys.readouterr().err


def test_a_name_that_is_no_utf_8_is_printed(done: Project, pictures: Path) -> None:
    png = (pictures / "32x32.png").read_bytes()
    Path(os.fsdecode(os.fsencode(pictures) + b"/\xff.png")).write_bytes(png)
    printed = done.run("springfield", "predict", str(pictures), "--json").stdout
    assert json.loads(printed)[-1]["picture"].endswith(r"/\xff.png")


def test_standard_input(done: Project, pictures: Path) -> None:
    picture = pictures / "64x64.png"
    command = ("springfield", "predict", "-", "--json", "--top", "1")
    (answer,) = json.loads(done.run(*command, stdin=picture).stdout)
    expected = Predictor(done.path / "models/springfield.onnx").predict(picture.read_bytes())
    assert answer["top"][0]["class"] == next(iter(expected))


def broken(done: Project, tmp_path: Path, how: str) -> Path:
    """A model file that cannot be used."""
    whole, path = done.path / "models/springfield.onnx", tmp_path / "model.onnx"
    if how == "damaged":
        path.write_bytes(whole.read_bytes()[:10_000])
        return path
    model = onnx.load(whole)
    metadata = {p.key: p.value for p in model.metadata_props}
    if how == "wrong classes":
        metadata["classes"] = json.dumps(["one", "two"])
    if how == "of another project":
        metadata = {"classes": "cat,dog"}
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("damaged", "is damaged"),
        ("wrong classes", "2 names for another number of classes"),
        ("of another project", "was not written by 'springfield export'"),
    ],
)
def test_a_wrong_model_file_is_named(done: Project, tmp_path: Path, how: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Predictor(broken(done, tmp_path, how))


def test_wrong_uses_get_one_line(done: Project, tmp_path: Path, pictures: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    picture = str(pictures / "32x32.png")
    for arguments, told in (
        (("predict", str(empty)), "has no pictures"),
        (("predict", picture, "--model", "nothing.onnx"), "nothing.onnx does not exist"),
        (("explain", picture, "--class", "nobody"), "no class 'nobody'"),
        (("explain", "hommer.jpg"), "hommer.jpg does not exist"),
        (("pull",), "set MLFLOW_TRACKING_URI=http"),
    ):
        lines = done.springfield(*arguments, status=1).strip().splitlines()
        assert len(lines) == 1
        assert told in lines[0]
        assert "run the stages before this" not in lines[0]


def test_what_decides_is_where_hiding_it_changes_most() -> None:
    class Corner:
        """Sure of its first class as far as the upper left corner is bright."""

        def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
            h, w = images.shape[1:3]
            bright = np.asarray(images[:, : h // 4, : w // 4].mean((1, 2, 3)) / 256)
            return np.stack([bright, 1 - bright], axis=1)

    image = np.zeros((120, 200, 3), np.uint8)
    image[:30, :50] = 255
    falls = occlusion(Corner(), image, 0)  # type: ignore[arg-type]
    assert max(np.unravel_index(falls.argmax(), falls.shape)) < 4
    assert falls[:3, :3].mean() > 5 * abs(falls[6:, 6:]).max()
    drawn = np.asarray(overlay(image, falls)).astype(int)
    assert drawn.shape == (288, 960, 3)
    red = drawn[:, 480:, 0] - drawn[:, 480:, 1]
    assert red[:50, :70].mean() > red[150:, 250:].mean() + 50


def test_explain_writes_a_picture(done: Project, tmp_path: Path, pictures: Path) -> None:
    output = tmp_path / "explained.png"
    text = done.springfield("explain", str(pictures / "200x150.png"), "--output", str(output))
    assert "explained.png" in text
    assert Image.open(output).size == (960, 360)


def test_the_runtime_keeps_no_telemetry(tmp_path: Path) -> None:
    """ONNX Runtime's own code writes it beside the user's files, and sends it later."""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    command = [sys.executable, "-c", "import springfield.serving.predict, time; time.sleep(1)"]
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    subprocess.run(command, env=env, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []


@pytest.mark.parametrize(
    ("library", "command", "extra"),
    [("mlflow", ("pull",), "pull"), ("torch", ("train",), "pipeline"), ("dvc", (), "pipeline")],
)
def test_a_library_that_is_missing_is_told_with_the_extra_that_has_it(
    done: Project, tmp_path: Path, library: str, command: tuple[str, ...], extra: str
) -> None:
    """Not by the name of a project on the package index, which is another one."""
    missing = f"raise ModuleNotFoundError('none', name={library!r})"
    (tmp_path / f"{library}.py").write_text(missing)
    path = f"{tmp_path}{os.pathsep}{done.env['PYTHONPATH']}"
    run = (sys.executable, "-m", "springfield", *(command or ("experiments",)))
    told = done.run(*run, status=1, env={"PYTHONPATH": path}).stderr
    assert f"in the repository: pip install '.[{extra}]'" in told
    assert library in told
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert extra in extras["optional-dependencies"]


def test_a_name_does_not_steer_the_terminal(done: Project, tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J[red]\x9b\u202egnp.png").write_bytes(b"no picture")
    output = done.springfield("predict", str(tmp_path), status=1)
    assert "\\x1b[2J[red]\\x9b\\u202egnp.png" in output.replace("\n", "")
    assert not set("\x1b\x9b\u202e") & set(output)
