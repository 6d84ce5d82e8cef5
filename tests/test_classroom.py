"""The classroom's data sets and networks: on drawn digits in the formats of the real files."""

import csv
import io
import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import matplotlib.image
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from torch import Tensor, nn

from springfield import pipeline
from springfield.config import compose, load
from springfield.images.drawing.lettering import lettering
from springfield.images.reading.formats import Layout, labelled_records
from springfield.images.store import ImageStore
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.sampling.batches import PADDING
from springfield.stages.classification import inside
from springfield.stages.classification.learner import (
    LOSSES,
    ClassificationLearner,
    squared_error,
)
from springfield.stages.classification.network import Architecture, Classifier, load_checkpoint
from springfield.stages.classification.params import ClassificationParams

from . import drawn, stage
from .conftest import REPOSITORY, Project

EXPERIMENTS = ["mnist", "mnist_deep", "fashion_mnist", "cifar10", "cifar10_deep", "cifar100"]
SMALL = [
    "train.epochs=1", "train.batch_size=80", "train.precision=32-true", "evaluate.baseline=false",
    "export.calibration=4",
]  # fmt: skip
DIGITS = [str(number) for number in range(10)]


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `conf/` and a mirror of what it names, all drawn."""
    folder = tmp_path_factory.mktemp("classroom")
    shutil.copytree(REPOSITORY / "conf", folder / "conf")
    for data in ("mnist", "fashion_mnist", "cifar10", "cifar10_bin", "cifar100"):
        drawn.put(data, folder / "conf", folder / "mirror")
    return folder


def chosen(classroom: Path, folder: Path, *overrides: str) -> ClassificationParams:
    compose(classroom, folder / "params.yaml", ["hardware=cpu", *overrides])
    params = load(folder / "params.yaml")
    assert isinstance(params, ClassificationParams)
    return params


def classifier(model: str, classes: int = 10) -> Classifier:
    """A network of `conf/model`."""
    content = (REPOSITORY / f"conf/model/{model}.yaml").read_text()
    size = str(yaml.safe_load(content)["input_size"])
    model_params = yaml.safe_load(content.replace("${model.input_size}", size))
    keys = ("backbone", "input_size", "mean", "std")
    values = {key: model_params[key] for key in keys}
    names = [str(number) for number in range(classes)]
    architecture = Architecture(**values, classes=names, options=model_params["options"])
    return Classifier(architecture, model_params["drop_rate"])


@pytest.mark.parametrize(
    "experiment",
    [*EXPERIMENTS[:-1], pytest.param(EXPERIMENTS[-1], marks=pytest.mark.slow)],
)
def test_each_experiment_runs_from_download_to_onnx(
    experiment: str,
    classroom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # a process that prepares is enough for so few
    params = chosen(classroom, tmp_path, f"experiment={experiment}", *SMALL)
    machine = Machine(params.hardware, classroom, "mirror", tmp_path / ".springfield")
    pipeline.run(params, Paths.within(tmp_path), machine)
    bars = capsys.readouterr().err
    assert "Preparing images" in bars
    assert not re.search(r"/\?| 0/0 ", bars), "a bar without a total, or of nothing"

    index = pd.read_csv(tmp_path / "data/prepared/index.csv", dtype=str, keep_default_na=False)
    sides = pd.read_csv(tmp_path / "data/split.csv", dtype=str)
    official = set(index.loc[index["official_split"] == "test", "id"])
    assert official == set(sides.loc[sides["split"] == "test", "id"])
    images = ImageStore(tmp_path / "data/prepared/images.arrow")
    side = 32 if experiment.startswith("cifar") else 28
    assert {images[image_id].shape for image_id in index["id"]} == {(side, side, 3)}

    metrics = json.loads((tmp_path / "reports/metrics.json").read_text())
    assert metrics["test"]["n"] == len(official) == (100 if experiment == "cifar100" else 40)
    names = json.loads((tmp_path / "models/model.json").read_text())["classes"]
    assert set(names) == set(params.data.layout[0].classes)
    session = onnxruntime.InferenceSession(tmp_path / "models/springfield.onnx")
    any_size = np.zeros((2, 50, 40, 3), np.uint8)
    assert session.run(None, {"image": any_size})[0].shape == (2, len(names))
    for name in ("examples", "filters", "feature_maps", "confusion"):
        picture = matplotlib.image.imread(tmp_path / f"reports/evaluate/{name}.png")
        assert picture[..., :3].std() > 0.02, name


def test_class_names_are_drawn_as_they_are(
    classroom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not as mathematics; in a font that has their letters, or it is said that there is none."""

    def read(*_: object) -> None:
        raise AssertionError("a name is read as mathematics")

    monkeypatch.setattr(MathTextParser, "parse", read)
    manager = font_manager.fontManager
    own = [font for font in manager.ttflist if "mpl-data" in font.fname]  # no Noto
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    params = chosen(classroom, tmp_path, "experiment=mnist", *SMALL)
    for layout in params.data.layout:
        layout.classes[:5] = ["$5_$10", "$^$", "a cat, 猫", "a smile, ⌒", "кот"]
    machine = Machine(params.hardware, classroom, "mirror", tmp_path / ".springfield")
    for name in pipeline.STAGES[:-1]:
        pipeline.run(params, Paths.within(tmp_path), machine, name)
        told = "no font of this machine has 猫: " in capsys.readouterr().err
        assert told == (name in ("augment", "evaluate")), name

    with lettering(["⌒"]):
        warnings.simplefilter("error")  # a glyph that is missing is one
        figure = Figure()
        figure.text(0, 0, "⌒")
        figure.savefig(io.BytesIO())


def test_an_archive_and_the_files_in_it_are_the_same_data(classroom: Path, tmp_path: Path) -> None:
    found = []
    for data in ("cifar10", "cifar10_bin"):
        layouts = chosen(classroom, tmp_path, f"data={data}").data.layout
        (tmp_path / data).mkdir()
        archives = write(tmp_path / data, drawn.contents(data))
        _, items = labelled_records(archives, layouts)
        found.append([(item.label, item.official_split, item.content) for item in items])
    assert found[0] == found[1]
    assert len(found[0]) == drawn.TRAIN + drawn.TEST


def test_the_courseworks_digit_network_has_its_parameters() -> None:
    model = classifier("small_cnn_mnist")
    assert sum(parameter.numel() for parameter in model.parameters()) == 121_930
    first = next(iter(inside.convolutions(model).values()))
    assert (first.in_channels, first.out_channels, first.kernel_size) == (1, 32, (3, 3))


def test_the_courseworks_cifar_network_looks_at_crops() -> None:
    """Anywhere in training, at the middle otherwise."""
    torch.manual_seed(0)
    model = classifier("small_cnn_cifar")
    assert [m.kernel_size for m in inside.convolutions(model).values()] == [(5, 5), (5, 5)]
    image = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    other_border, other_middle = image.clone(), image.clone()
    other_border[:, :4] = other_border[:, 28:] = 255 - image[:, :4]
    other_middle[:, 14:18] = 255 - image[:, 14:18]
    model.eval()
    torch.testing.assert_close(model(other_border), model(image))
    assert not torch.allclose(model(other_middle), model(image))
    model.backbone.train()
    answers = model(image.expand(64, -1, -1, -1)).detach()
    assert len(torch.unique(answers.round(decimals=4), dim=0)) > 20


def test_the_courseworks_distortions_have_its_ranges(classroom: Path, tmp_path: Path) -> None:
    flip, colours = chosen(classroom, tmp_path, "experiment=cifar10").augment.online
    assert flip == {"name": "HorizontalFlip", "p": 0.5}
    ranges = {"brightness": 0.2, "contrast": [0.3, 1.0], "saturation": [0.0, 2.0], "hue": 0.05}
    assert colours == {"name": "ColorJitter", "p": 1.0, **ranges}


def test_the_deep_network_starts_at_full_resolution_and_takes_any_size() -> None:
    model = classifier("small_cnn_deep").eval()
    layers = inside.convolutions(model)
    maps = inside.feature_maps(model, np.zeros((32, 32, 3), np.uint8), list(layers))
    assert [each.shape[1] for each in maps.values()] == [32, 32, 16, 16, 8, 8, 4]
    assert model.logits(torch.zeros(2, 3, 47, 47)).shape == (2, 10)


def test_options_that_a_network_does_not_take_are_named() -> None:
    architecture = Architecture("small_cnn", 28, [0.5] * 3, [0.5] * 3, DIGITS, {"widths": [1]})
    with pytest.raises(UserError, match=r"model\.options: small_cnn: .*'widths'"):
        Classifier(architecture)


def test_feature_maps_are_what_a_convolution_gives() -> None:
    model = classifier("small_cnn_mnist")
    image = np.random.default_rng(1).integers(0, 256, (28, 28, 3), np.uint8)
    name, convolution = next(iter(inside.convolutions(model).items()))
    pixels = (model.resize(torch.from_numpy(image)[None]) - model.mean) / model.std
    expected = convolution(pixels.mean(1, keepdim=True)).detach()[0].numpy()
    image.flags.writeable = False  # as Pillow and the store give it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inside.feature_maps(model, image, [name])[name]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(inside.filters(model, name), convolution.weight.detach().numpy())


def drawn_filters(model: Classifier, *choice: object) -> NDArray[np.float64]:
    return np.asarray(inside.filters_plot(model, *choice).axes[0].images[0].get_array())  # type: ignore[arg-type]


def test_the_weights_of_one_input_are_drawn_alone() -> None:
    torch.manual_seed(0)
    model = classifier("small_cnn_mnist")
    first, second = inside.convolutions(model)
    found = drawn_filters(model, second, 5)
    with torch.no_grad():
        inside.convolutions(model)[second].weight[:, :5] = 9
    np.testing.assert_array_equal(drawn_filters(model, second, 5), found)
    assert not np.array_equal(drawn_filters(model, second, 6), found)
    np.testing.assert_array_equal(drawn_filters(model, first, 0), drawn_filters(model, first))
    with pytest.raises(IndexError):
        drawn_filters(model, second, 32)


def small_cnn(**options: object) -> Classifier:
    """`small_cnn_mnist` with other options."""
    chosen = yaml.safe_load((REPOSITORY / "conf/model/small_cnn_mnist.yaml").read_text())
    chosen["options"] |= {"img_size": 28} | options
    return Classifier(
        Architecture("small_cnn", 28, [0.5] * 3, [0.5] * 3, DIGITS, chosen["options"])
    )


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"activation": "leaky_relu"}, {nn.LeakyReLU: 3, nn.MaxPool2d: 2, nn.ReLU: 0}),
        ({"activation": "tanh", "pooling": "average"}, {nn.AvgPool2d: 2, nn.MaxPool2d: 0}),
        ({"pooling": "average", "global_pool": True}, {nn.AdaptiveAvgPool2d: 1}),
        ({"drops": [0.1, 0, 0.3]}, {nn.Dropout: 4, nn.ReLU: 3}),
    ],
)
def test_activation_pooling_and_dropout_are_options(
    options: dict[str, object], layers: dict[type[nn.Module], int]
) -> None:
    torch.manual_seed(0)
    trunk = small_cnn(**options).backbone.trunk
    assert {kind: sum(type(m) is kind for m in trunk) for kind in layers} == layers
    if "drops" in options:
        assert [m.p for m in trunk if isinstance(m, nn.Dropout)] == [0.1, 0, 0.3, 0.0]


def test_options_are_values_of_an_experiment(classroom: Path, tmp_path: Path) -> None:
    overrides = ("model.options.activation=tanh", "model.options.drops=[0.1,0,0.3]")
    params = chosen(classroom, tmp_path, "experiment=mnist", *overrides)
    assert params.model.options["activation"] == "tanh"
    trunk = small_cnn(**params.model.options).backbone.trunk
    assert sum(isinstance(layer, nn.Dropout) for layer in trunk) == 4


def test_an_activation_bends_and_a_pooling_shrinks() -> None:
    pixels = torch.linspace(-3, 3, 2 * 3 * 28 * 28).reshape(2, 3, 28, 28)
    trunk = small_cnn(activation="tanh", pool_size=3, dense=[]).backbone.trunk
    convolution, bend, pool = trunk[:3]
    with torch.no_grad():
        before = convolution(pixels.mean(1, keepdim=True))
        torch.testing.assert_close(bend(before), torch.tanh(before))
        assert pool(before).shape[-2:] == (8, 8)  # of 26


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "wave"}, "activation=wave: timm has none of this name"),
        ({"pooling": "median"}, "pooling=median: there are max and average"),
        ({"pool_size": 6}, "no pixel is left of the picture"),
        ({"drops": [0.5]}, r"drops=\[0.5\]: the network has 2 convolutions and 1 dense layers"),
    ],
)
def test_options_that_make_no_network_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"model.options: small_cnn: {message}"):
        small_cnn(**options)


OPTIMIZERS = sorted(path.stem for path in (REPOSITORY / "conf/optimizer").glob("*.yaml"))


@pytest.fixture(scope="module")
def augmented(classroom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn digits, ready to be learnt."""
    folder = tmp_path_factory.mktemp("augmented")
    params = chosen(classroom, folder, "experiment=mnist", *SMALL)
    machine = Machine(params.hardware, classroom, "mirror", folder / ".springfield")
    pipeline.run(params, Paths.within(folder), machine, "download", "prepare", "split", "augment")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_learns_with_the_rate_of_its_file(
    optimizer: str, classroom: Path, augmented: Path
) -> None:
    longer = ("train.epochs=6", "train.batch_size=20", "model.drop_rate=0", "augment=none")
    choice = ("experiment=mnist", f"optimizer={optimizer}", *SMALL, *longer)
    params = chosen(classroom, augmented, *choice)
    given = yaml.safe_load((REPOSITORY / f"conf/optimizer/{optimizer}.yaml").read_text())
    assert params.optimizer.lr == given["lr"]
    machine = Machine(params.hardware, classroom, "mirror", augmented / ".springfield")
    pipeline.run(params, Paths.within(augmented), machine, "train")
    losses = pd.read_csv(augmented / "reports/train/metrics.csv")["train_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]


ONE_BATCH = (
    "train.batch_size=228", "train.ema=0", "model.drop_rate=0", "augment=none",
    "optimizer=sgd_plain", "optimizer.warmup=0", "optimizer.lr=0.1", "optimizer.weight_decay=0",
)  # fmt: skip
"""An epoch is one step, of all 228 pictures."""


@pytest.fixture(scope="module")
def weights_after(classroom: Path, augmented: Path) -> Callable[..., dict[str, Tensor]]:
    """Trains in single steps; the weights at the end."""

    @cache
    def train(*overrides: str) -> dict[str, Tensor]:
        choice = ("experiment=mnist", *SMALL, *ONE_BATCH, *overrides)
        params = chosen(classroom, augmented, *choice)
        machine = Machine(params.hardware, classroom, "mirror", augmented / ".springfield")
        pipeline.run(params, Paths.within(augmented), machine, "train")
        model = load_checkpoint(augmented / "models/checkpoint")
        return {name: value.detach() for name, value in model.named_parameters()}

    return train


def test_penalties_are_those_of_a_textbook(
    weights_after: Callable[..., dict[str, Tensor]],
) -> None:
    """L1 pulls each weight by a constant, L2 in proportion to it, the elastic net by both."""
    start, plain = weights_after("optimizer.lr=0"), weights_after()
    lasso = weights_after("optimizer.l1=0.3")
    elastic = weights_after("optimizer.l1=0.3", "optimizer.weight_decay=0.2")
    for name, before in start.items():
        assert not torch.equal(plain[name], before)
        sign, itself = (torch.zeros(()),) * 2 if before.ndim == 1 else (before.sign(), before)
        by_hand = {"lasso": -0.1 * 0.3 * sign, "elastic": -0.1 * (0.3 * sign + 0.2 * itself)}
        torch.testing.assert_close(lasso[name] - plain[name], by_hand["lasso"] + 0 * before)
        torch.testing.assert_close(elastic[name] - plain[name], by_hand["elastic"] + 0 * before)


def test_momentum_keeps_a_share_of_the_last_step(
    weights_after: Callable[..., dict[str, Tensor]],
) -> None:
    start, first = weights_after("optimizer.lr=0"), weights_after()
    without, heavy = (
        weights_after("train.epochs=2", f"optimizer.momentum={share}") for share in (0, 0.5)
    )
    for name, before in start.items():
        torch.testing.assert_close(
            heavy[name] - without[name], 0.5 * (first[name] - before), rtol=1e-3, atol=1e-7
        )


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("optimizer=adam", "optimizer.momentum=0.5"), "optimizer.momentum: adam takes none; set"),
        (("optimizer=sgd", "optimizer.momentum=0"), "optimizer: sgd: Nesterov momentum requires"),
    ],
)
def test_a_momentum_that_an_optimizer_cannot_have_is_refused(
    choice: tuple[str], message: str, weights_after: Callable[..., dict[str, Tensor]]
) -> None:
    with pytest.raises(UserError, match=message):
        weights_after(*choice)


def learner(loss: Literal["hinge", "squared_error"]) -> ClassificationLearner:
    torch.manual_seed(0)
    train = replace(stage.PARAMS.train, loss=loss, label_smoothing=0.0)
    model = classifier("small_cnn_mnist").eval()
    return ClassificationLearner(model, stage.PARAMS.optimizer, train, 1, np.full(10, 0.1))


def hinge(logits: NDArray[np.float64], label: int) -> float:
    """How much less than 1 the right logit is above each other one, over all classes."""
    others = [1 - logits[label] + other for k, other in enumerate(logits) if k != label]
    return float(sum(max(0, by) for by in others) / len(logits))


def brier(logits: NDArray[np.float64], label: int) -> float:
    probabilities = np.exp(logits) / np.exp(logits).sum()
    return float(np.mean((probabilities - np.eye(len(logits))[label]) ** 2))


@pytest.mark.parametrize(("loss", "by_hand"), [("hinge", hinge), ("squared_error", brier)])
def test_losses_are_those_of_a_textbook(
    loss: Literal["hinge", "squared_error"], by_hand: Callable[[NDArray[np.float64], int], float]
) -> None:
    """In training and on val, where what only fills a batch does not count."""
    learns = learner(loss)
    images = torch.randint(0, 256, (4, 28, 28, 3), dtype=torch.uint8)
    labels = [3, 0, 9, 3]
    with torch.no_grad():
        for parameter in learns.model.backbone.head.parameters():
            parameter.mul_(20)  # so that hinges are on both sides of 0
        logits = learns.model.logits(images.permute(0, 3, 1, 2)).double().numpy()
        expected = [by_hand(row, label) for row, label in zip(logits, labels, strict=True)]
        found = learns.means((images, torch.tensor(labels)))["loss"]
        assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)
        learns.validation_step((images, torch.tensor([*labels[:3], PADDING])), 0)
    assert learns.val_loss.compute().item() == pytest.approx(np.mean(expected[:3]), rel=1e-5)


def test_squared_error_takes_smoothed_and_mixed_labels() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    smoothed = squared_error(logits, torch.tensor([0]), label_smoothing=0.3)
    mixed = squared_error(logits, torch.tensor([[0.8, 0.1, 0.1]]))
    assert smoothed.item() == pytest.approx(mixed.item())
    by_hand = ((logits.softmax(1) - torch.tensor([0.8, 0.1, 0.1])) ** 2).mean()
    assert mixed.item() == pytest.approx(by_hand.item())


@pytest.mark.parametrize("other", ["label_smoothing=0.1", "mixup=0.2", "cutmix=1.0"])
def test_a_hinge_takes_labels_as_they_are(other: str, classroom: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"train\.loss=hinge needs labels as they are; set train.lab"
    ):
        chosen(classroom, tmp_path, "experiment=mnist", "train.loss=hinge", f"train.{other}")


@pytest.mark.parametrize("loss", ["hinge", "squared_error"])
def test_only_cross_entropy_has_logits_to_adjust(
    loss: str, classroom: Path, tmp_path: Path
) -> None:
    adjusted = ("train.label_smoothing=0", f"train.loss={loss}", "train.logit_adjustment=1")
    message = rf"train\.loss={loss} has no logits to adjust.*; set train\.logit_adjustment to 0"
    with pytest.raises(UserError, match=message):
        chosen(classroom, tmp_path, "experiment=mnist", *adjusted)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_learns(loss: str, weights_after: Callable[..., object], augmented: Path) -> None:
    longer = ("train.epochs=6", "train.batch_size=20", "optimizer=adam", "optimizer.lr=2e-3")
    weights_after(f"train.loss={loss}", *longer)
    curves = pd.read_csv(augmented / "reports/train/metrics.csv")
    assert curves["train_loss"].iloc[-1] < 0.6 * curves["train_loss"].iloc[0]
    assert curves["train_accuracy"].iloc[-1] > 0.7
    ratio = curves["val_loss"].iloc[-1] / curves["train_loss"].iloc[-1]
    assert 0.1 < ratio < 10, "of the same kind"


IDX_LAYOUTS = [
    Layout("^t10k-images", "test", "idx", DIGITS),
    Layout("^train-images", "", "idx", DIGITS),
]


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_idx_files_are_read_as_they_are_and_packed(tmp_path: Path) -> None:
    raw, packed = tmp_path / "raw", tmp_path / "packed"
    raw.mkdir()
    packed.mkdir()
    files = drawn.mnist_files(30, 20)
    total, items = labelled_records(write(raw, files), IDX_LAYOUTS)
    plain = list(items)
    assert len(plain) == total
    zipped = write(packed, {f"{name}.gz": drawn.packed(files[name]) for name in files})
    _, unpacked = labelled_records(zipped, IDX_LAYOUTS)
    assert [item.content for item in unpacked] == [item.content for item in plain]
    assert Counter(item.official_split for item in plain) == {"test": 20, "": 30}
    assert [item.label for item in plain[:11]] == [*DIGITS, "0"]
    assert plain[3].source == "t10k-images-idx3-ubyte!#3"


def test_a_picture_that_is_in_train_too_stays_in_the_test(tmp_path: Path) -> None:
    files = drawn.mnist_files(30, 20)
    images = bytearray(files["train-images-idx3-ubyte"])
    images[16 : 16 + 784] = files["t10k-images-idx3-ubyte"][16 : 16 + 784]
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    write(raw, files | {"train-images-idx3-ubyte": bytes(images)})
    stage.prepare(stage.PARAMS.prepare, IDX_LAYOUTS, Paths.within(tmp_path))
    index = pd.read_csv(tmp_path / "data/prepared/index.csv", keep_default_na=False)
    assert Counter(index["official_split"]) == {"test": 20, "": 29}
    report = json.loads((tmp_path / "reports/data.json").read_text())
    assert [entry["source"] for entry in report["duplicates"]] == ["train-images-idx3-ubyte!#0"]


def changed(files: dict[str, bytes], name: str, place: int, value: int) -> dict[str, bytes]:
    content = bytearray(files[name])
    content[place] = value
    return files | {name: bytes(content)}


def cut(files: dict[str, bytes], name: str, end: int) -> dict[str, bytes]:
    return files | {name: files[name][:end]}


IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
Damage = Callable[[dict[str, bytes]], dict[str, bytes]]
IDX_DAMAGES: list[tuple[Damage, str]] = [
    (lambda f: changed(f, IMAGES, 3, 1), r"images.*: no IDX file of pictures: .*00000801"),
    (lambda f: changed(f, LABELS, 2, 13), r"labels.*: no IDX file of labels: .*00000d01"),
    (lambda f: f | {IMAGES: b""}, r"images.*: no IDX file of pictures"),
    (lambda f: cut(f, IMAGES, 10), r"images.*: ends within its header"),
    (lambda f: cut(f, IMAGES, 5000), r"images.*: 4984 bytes after its header.* 20 x 28 x 28"),
    (lambda f: f | {IMAGES: f[IMAGES] + b"!"}, r"images.*: 15681 bytes after its header"),
    (lambda f: changed(f, IMAGES, 4, 255), r"images.*: 15680 bytes after its header.* 4278190100"),
    (lambda f: changed(f, IMAGES, 11, 0), r"images.*: 15680 bytes after its header.* 20 x 0 x 28"),
    (lambda f: changed(cut(f, LABELS, 27), LABELS, 7, 19), r"20 pictures, but 19 labels in .*lab"),
    (lambda f: changed(f, LABELS, 8 + 4, 10), r"labels.*: label 10 of picture 4 is none of the 10"),
    (lambda f: {n: c for n, c in f.items() if n != LABELS}, r"there is no t10k-labels-idx1-ubyte"),
    (lambda f: f | {IMAGES: drawn.packed(f[IMAGES])[:200]}, r"images.*: a gzip that is cut short"),
    (lambda f: f | {IMAGES: b"\x1f\x8b\x08\0" + bytes(50)}, r"images.*: damaged gzip"),
]


@pytest.mark.parametrize(("damage", "message"), IDX_DAMAGES)
def test_damaged_idx_files_are_named_in_one_line(
    damage: Damage, message: str, tmp_path: Path
) -> None:
    archives = write(tmp_path, damage(drawn.mnist_files(30, 20)))
    with pytest.raises(UserError, match=message) as error:
        labelled_records(archives, IDX_LAYOUTS)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("cifar10", b"", r"a\.bin: 0 bytes are no whole number of records of 3073"),
        ("cifar10", drawn.cifar(3, 10, 0)[:-1], r"a\.bin: 9218 bytes .* of 3073"),
        ("cifar10", drawn.cifar(3, 100, 0), r"a\.bin: 9222 bytes .* of 3073"),
        ("cifar100", drawn.cifar(3, 10, 0), r"a\.bin: 9219 bytes .* of 3074"),
        ("cifar10", b"\x0b" + bytes(3072), r"a\.bin: label 11 of picture 0 is none of the 10"),
        ("cifar100", b"\0\x0b" + bytes(3072), r"a\.bin: label 11 of picture 0 is none of"),
    ],
)
@pytest.mark.parametrize("inside_a_tar", [False, True])
def test_damaged_cifar_files_are_named_in_one_line(
    kind: str, content: bytes, message: str, inside_a_tar: bool, tmp_path: Path
) -> None:
    files = {"a.bin": content}
    archives = write(tmp_path, {"set.tar.gz": drawn.tar_gz("in", files)} if inside_a_tar else files)
    with pytest.raises(UserError, match=message) as error:
        labelled_records(archives, [Layout(r"a\.bin$", "", kind, DIGITS)])
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_one_line_of_the_command(project: Project) -> None:
    raw = project.path / "data/raw"
    raw.mkdir()
    write(raw, cut(drawn.mnist_files(30, 20), IMAGES, 5000))
    project.springfield("compose", "experiment=mnist")
    output = project.springfield("prepare", status=1)
    assert output.splitlines()[-1].startswith("error: t10k-images-idx3-ubyte: 4984 bytes")
    assert "Traceback" not in output


def test_layouts_name_classes_where_labels_are_numbers() -> None:
    with pytest.raises(UserError, match="classes are named for idx"):
        Layout("a", format="idx")
    with pytest.raises(UserError, match="classes are named for idx"):
        Layout("(?P<class>a)", classes=["a"])


NEW_DATA = """name: letters
about: {title: Drawn letters, license: other, url: null}
watch: data/unwatched
source:
  files:
FILES
layout:
  - {pattern: ^train-images, format: idx, classes: &names NAMES}
  - {pattern: ^t10k-images, format: idx, classes: *names}
"""
NEW_MODEL = """backbone: test_efficientnet
code: src/springfield/stages/classification/network.py
input_size: 32
mean: [0.5, 0.5, 0.5]
std: [0.5, 0.5, 0.5]
drop_rate: 0.1
options: {act_layer: relu}
weights: null
"""


@pytest.mark.slow
def test_a_data_set_and_a_network_are_a_file_each(finished: Project) -> None:
    """Nothing but these two files is added; DVC and MLflow list the result beside the others."""
    project = finished
    names = list("abcdefghij")
    entries = []
    for name, content in drawn.mnist_files(160, 40).items():
        path = project.path / "mirror" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        entries.append(f"    - {{path: {name}, sha256: {drawn.sha256(content)}}}")
    data = NEW_DATA.replace("FILES", "\n".join(entries)).replace("NAMES", str(names))
    (project.path / "conf/data/letters.yaml").write_text(data)
    (project.path / "conf/model/other.yaml").write_text(NEW_MODEL)
    project.commit()
    choices = [
        "experiment=sample", "data=letters", "model=other", "hardware=cpu", "split.distance=0",
        "train.epochs=1", "evaluate.baseline=false", "export.calibration=8",
    ]  # fmt: skip
    options = [option for choice in choices for option in ("-S", choice)]
    mirror = {"SPRINGFIELD_MIRROR": "mirror"}
    project.run("dvc", "exp", "run", "-n", "new", *options, env=mirror)
    found = json.loads((project.path / "models/model.json").read_text())
    assert (found["classes"], found["backbone"]) == (names, "test_efficientnet")
    checkpoint = load_checkpoint(project.path / "models/checkpoint")
    assert checkpoint.architecture.options == {"act_layer": "relu"}

    shown = csv.DictReader(io.StringIO(project.run("dvc", "exp", "show", "--csv").stdout))
    rows = {row["Experiment"]: row for row in shown}
    assert rows["new"]["data.name"] == "letters"
    for row in (rows["new"], rows[""]):
        assert 0 < float(row["test.accuracy"]) <= 1
    client = MlflowClient(project.store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert ["test_accuracy" in run.data.metrics for run in runs] == [True, True]
