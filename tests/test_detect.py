"""A detector: what it says of a place, how it learns, and the frames with boxes it learns from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.profiler import profile
from torchvision.ops import batched_nms

from springfield.images.dataset import BoxedFrames, read_boxes
from springfield.images.store import ImageStore, write_images
from springfield.images.transforms import Augmentation
from springfield.machine.errors import UserError
from springfield.sampling.batches import PADDING
from springfield.stages.detection.learner import DetectionLearner, assign, losses
from springfield.stages.detection.network import (
    QUALITY,
    Architecture,
    Detector,
    alike,
    suppressed,
)

from .conftest import Project, experiments

SMALL = (
    "hardware=cpu", "experiment=sample_boxes", "data.source.sample_boxes=0.1",
    "prepare.shorter_side=64", "model.backbone=test_resnet", "model.input_size=64",
    "model.width=16", "train.epochs=2", "export.calibration=8",
)  # fmt: skip
FLIP = [{"name": "HorizontalFlip", "p": 1.0}]


def detector(backbone: str = "test_resnet", size: int = 64, classes: int = 3) -> Detector:
    torch.manual_seed(0)
    names = [f"class {number}" for number in range(classes)]
    return Detector(Architecture(backbone, size, [0.5] * 3, [0.25] * 3, names, 32, 50, 0.6)).eval()


def squares(seed: int, n: int = 2) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A black frame with a red square, a green one, ...; and their boxes."""
    rng = np.random.default_rng(seed)
    image = np.zeros((60, 80, 3), np.uint8)
    boxes = []
    for colour in range(n):
        x, y = rng.integers(0, 55), rng.integers(0, 35)
        image[y : y + 24, x : x + 24] = 0
        image[y : y + 24, x : x + 24, colour] = 255
        boxes.append([x, y, x + 24, y + 24])
    return image, np.array(boxes, np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_what_hides_what_is_as_torchvision_says(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    corners, sides = (torch.rand(2, 100, 2, generator=rng) * high for high in (90, 60))
    boxes = torch.cat([corners, corners + sides + 15], -1)
    labels = torch.randint(0, 3, (2, 100), generator=rng)
    scores = torch.linspace(1, 0.1, 100)
    for one, of, hidden in zip(boxes, labels, suppressed(alike(boxes, labels, 0.5)), strict=True):
        kept = batched_nms(one, scores, of, 0.5)
        assert (~hidden).nonzero()[:, 0].tolist() == kept.sort().values.tolist()


@pytest.mark.parametrize("mixed", [False, True])
def test_boxes_of_one_thing_are_given_as_their_mean(*, mixed: bool) -> None:
    """By their scores; one of another class, or elsewhere, stays what it is, in any precision."""
    model = detector(size=128)
    boxes = [[0, 0, 60, 60], [0, 0, 66, 60], [80.3, 80.3, 120.7, 120.7], [0, 0, 60, 66]]
    places = model.places(torch.zeros(1, 3, 128, 128))
    sure = torch.tensor([0.9, 0.6, 0.5, 0.4])
    logits = torch.full((1, 4, 3), -50.0)
    logits[0, range(4), [0, 0, 0, 1]] = sure.logit()
    perfect = torch.full((1, 4), 50.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        found = model.best(
            places._replace(logits=logits, boxes=torch.tensor([boxes]) * 1.0, quality=perfect)
        )
    votes = sure[:2] ** (1 - QUALITY)
    right = float((votes * torch.tensor([60, 66])).sum() / votes.sum())
    assert found.boxes[0, :3].tolist() == [
        pytest.approx(box) for box in ([0, 0, right, 60], boxes[2], boxes[3])
    ]
    assert found.labels[0, :3].tolist() == [0, 0, 1]
    assert (found.scores[0, 3:] < 1e-9).all()


@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 64), ("inception_v3", 128)])
def test_places_lie_around_the_middle_of_the_picture(backbone: str, size: int) -> None:
    """Also of a network that pads nothing, whose maps are smaller than the picture."""
    places = detector(backbone, size).places(torch.zeros(1, 3, size, size))
    for stride in (16, 32):
        points = places.points[places.strides == stride]
        assert points.mean(0).tolist() == pytest.approx([size / 2, size / 2])
        assert (points > 0).all()
        assert (points < size).all()


def test_each_place_finds_the_smallest_box_it_is_central_in() -> None:
    places = detector(size=128).places(torch.zeros(1, 3, 128, 128))
    boxes = torch.tensor([[[32.0, 32, 96, 96], [48, 48, 80, 80], [0, 0, 128, 128], [9, 9, 9, 9]]])
    labels = torch.tensor([[0, 1, 2, PADDING]])
    of = assign(places, boxes, labels)[0]
    fine, coarse = (places.strides == stride for stride in (16, 32))
    middle = (places.points - 64).abs().amax(1)
    assert set(of[fine & (middle < 16)].tolist()) == {1}
    assert set(of[fine & (middle > 16) & (middle < 24)].tolist()) <= {0, PADDING}
    assert set(of[coarse & (middle < 32)].tolist()) == {2}
    assert (of[middle > 48] == PADDING).all()
    assert (assign(places, boxes, torch.full_like(labels, PADDING)) == PADDING).all()


def test_the_loss_of_a_frame_does_not_depend_on_the_others() -> None:
    model = detector()
    frames = [squares(seed) for seed in range(4)]
    images = torch.from_numpy(np.stack([image[:, :60] for image, _ in frames]))
    boxes = torch.from_numpy(np.stack([boxes for _, boxes in frames]))
    labels = torch.tensor([[0, 1], [0, PADDING], [PADDING, PADDING], [1, 2]])
    with torch.no_grad():
        whole = losses(model.places(model.resize(images)), boxes, labels)
        for row in range(4):
            one = slice(row, row + 1)
            alone = losses(model.places(model.resize(images[one])), boxes[one], labels[one])
            for name, values in whole.items():
                assert float(values[row]) == pytest.approx(float(alone[name]), rel=1e-4), name
    assert float(whole["box_loss"][2]) == 0  # a frame without boxes
    assert float(whole["class_loss"][2]) > 0


def validated(frames: int) -> tuple[DetectionLearner, list[str]]:
    """A learner that has seen a batch of val, and what it called for that."""
    recipe: list[Any] = [None, SimpleNamespace(frozen=0), 1]
    learner = DetectionLearner(detector(), *recipe)
    learner.eval()
    images, boxes = zip(*(squares(seed) for seed in range(frames)), strict=True)
    labels = torch.tensor([[0, 1], [2, PADDING], [PADDING, PADDING], [1, 1]] * 3)[:frames]
    real = torch.arange(frames) < max(1, frames - 1)
    pixels = torch.from_numpy(np.stack([image[:, :60] for image in images])).permute(0, 3, 1, 2)
    square = functional.interpolate(pixels, (64, 64)).permute(0, 2, 3, 1)
    batch = square, torch.from_numpy(np.stack(boxes)), labels, real
    with torch.inference_mode(), profile() as profiled:
        learner.validation_step(batch, 0)
    return learner, [event.name for event in profiled.events() or []]


def test_a_batch_of_val_asks_the_device_as_often_as_one_frame() -> None:
    """Each such question makes a GPU wait for all that it was given."""
    asked = [
        sum(name in {"aten::_local_scalar_dense", "aten::nonzero"} for name in validated(n)[1])
        for n in (1, 9)
    ]
    assert asked[0] == asked[1] > 0


def test_right_boxes_cost_next_to_nothing() -> None:
    model = detector(size=128)
    boxes, labels = torch.tensor([[[32.0, 32, 96, 96]]]), torch.tensor([[1]])
    places = model.places(torch.zeros(1, 3, 128, 128))
    of = assign(places, boxes, labels)[0]
    logits = torch.full_like(places.logits, -12)
    logits[0, of == 0, 1] = 12
    sure = torch.full_like(places.quality, 12)
    right = places._replace(logits=logits, boxes=boxes.expand_as(places.boxes), quality=sure)
    found = losses(right, boxes, labels)
    assert float(found["class_loss"]) < 1e-3
    assert float(found["box_loss"]) < 1e-6
    wrong = losses(right._replace(boxes=right.boxes + 40), boxes, labels)
    assert float(wrong["box_loss"]) > 0.5
    assert float(found["quality_loss"]) < 1e-3
    assert float(wrong["quality_loss"]) > 5  # it says that they are right


def test_boxes_are_in_pixels_of_the_given_picture() -> None:
    model = detector()
    picture = torch.from_numpy(squares(1)[0])
    found, square = model(picture[None]), model.detect(model.resize(picture[None]))
    assert found.boxes.shape == (1, 50, 4)
    scale = torch.tensor([80, 60, 80, 60]) / 64
    torch.testing.assert_close(found.boxes, square.boxes * scale)
    assert (found.boxes[..., :2] < found.boxes[..., 2:]).all(-1)[found.scores > 0].all()
    assert (found.boxes.amax((0, 1)) <= torch.tensor([80, 60, 80, 60])).all()
    assert (found.scores.diff() <= 0).all()
    assert (found.boxes[found.scores == 0] == 0).all()


def prepared(folder: Path, frames: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> Path:
    names = [f"{number:016x}" for number in range(len(frames))]
    write_images(folder / "images.arrow", [(n, f[0]) for n, f in zip(names, frames, strict=True)])
    colours = ["red", "green", "blue"]
    boxes = [
        [[colours[place], *corners] for place, corners in enumerate(found.tolist())]
        for _, found in frames
    ]
    text = [str(found).replace("'", '"') for found in boxes]
    pd.DataFrame({"id": names, "official_split": "", "boxes": text}).to_csv(
        folder / "index.csv", index=False
    )
    sides = (["train", "val", "test"] * len(names))[: len(names)]
    pd.DataFrame({"id": names, "split": sides, "group": range(len(names))}).to_csv(
        folder / "split.csv", index=False
    )
    return folder


def test_boxes_move_with_the_picture(tmp_path: Path) -> None:
    """Through scaling, flips and crops, a box is where its colour is."""
    folder = prepared(tmp_path, [squares(seed, 1 + seed % 2) for seed in range(12)])
    classes, sides = read_boxes(folder / "index.csv", folder / "split.csv")
    assert classes == ["green", "red"]
    crop = [*FLIP, {"name": "BBoxSafeRandomCrop", "erosion_rate": 0.0, "p": 1.0}]
    store = ImageStore(folder / "images.arrow")
    for augmentation in (
        None,
        Augmentation(FLIP, 96, boxed=True),
        Augmentation(crop, 96, boxed=True),
    ):
        frames = BoxedFrames(store, sides["train"], 96, augmentation, seed=1)
        images, boxes, labels, real = frames[[(0, 0), (0, PADDING), (2, 1), (0, 2)]]
        assert real.tolist() == [True, False, True, True]
        assert labels[1].tolist() == [PADDING] * 2
        for image, corners, of in zip(images, boxes, labels, strict=True):
            if PADDING not in of.tolist() or of[0] == PADDING:
                continue  # of two squares one may lie on the other
            ys, xs = np.nonzero(image[..., 1 - int(of[0])].numpy() > 128)  # 0 is green, 1 red
            seen = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert corners[0].tolist() == pytest.approx(seen, abs=2.5)
    again = BoxedFrames(store, sides["train"], 96, Augmentation(crop, 96, boxed=True), seed=1)
    assert torch.equal(again[[(2, 1)]][0][0], images[2])


@pytest.mark.parametrize("boxed", [False, True])
def test_a_transform_that_needs_more_than_a_picture_is_refused(*, boxed: bool) -> None:
    with pytest.raises(UserError, match=r"augment: MaskDropout requires"):
        Augmentation([{"name": "MaskDropout", "p": 1.0}], 64, boxed=boxed)


def test_what_is_no_convolutional_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"vit_tiny_patch16_224 gives no maps at strides"):
        detector("vit_tiny_patch16_224", 224)
    with pytest.raises(UserError, match="timm has no 'resnet10'"):
        detector("resnet10")


@pytest.mark.slow
@pytest.mark.parametrize("experiment", experiments("detection"), ids=lambda path: path.stem)
def test_every_detector_trains(experiment: Path, finished: Project) -> None:
    """On drawn boxes, with the experiment's own recipe and network."""
    small = ("hardware=cpu", "model.weights=null", "model.input_size=128", "train.batch_size=4")
    drawn = ("data=sample_boxes", "data.source.sample_boxes=0.1")
    finished.springfield("compose", f"experiment={experiment.stem}", *drawn, *small)
    for stage in ("download", "prepare", "split", "augment"):
        finished.springfield(stage)
    assert "images per second" in finished.springfield("train", "--preset", "fast")
