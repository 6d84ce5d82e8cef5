"""Stage train: fine-tune a detector with Lightning on every device there is."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pydantic import Field, PositiveFloat, PositiveInt

from springfield.files import RemoteFile
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.processes import loaders_with_room

if TYPE_CHECKING:
    from springfield.images.dataset import BoxedSide
    from springfield.learning.fit import Part
    from springfield.sampling.batches import Loader
    from springfield.stages.detection.network import Detector
    from springfield.stages.detection.params import DetectionParams

NEEDS = ("seed", "model", "optimizer", "train", "augment.online")
OF_RGB = Field(min_length=3, max_length=3)


@dataclass
class ModelParams:
    """The network and what it takes in."""

    backbone: Annotated[str, Field(min_length=1)]
    """A model of timm by name."""
    code: Annotated[str, Field(pattern=r"\.py$")]
    """The file that defines it."""
    input_size: Annotated[int, Field(ge=32, le=4096)]
    """Side of the input in pixels."""
    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], OF_RGB]
    """Of the pixels of a channel (0 to 1), subtracted."""
    std: Annotated[list[PositiveFloat], OF_RGB]
    """Divided by."""
    width: Annotated[int, Field(ge=8)]
    """Channels of the head."""
    detections: PositiveInt
    """Boxes that are given for a picture, at most."""
    iou: Annotated[float, Field(gt=0, lt=1)]
    """Overlap of two boxes of a class past which they are of one thing: the mean is given."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    """Dropout before the last layers."""
    options: dict[str, Any]
    """Further arguments of the backbone."""
    weights: RemoteFile | None
    """Of a classifier, to start from, known by their hash; none: from scratch."""


def run(params: "DetectionParams", paths: Paths, machine: Machine) -> None:
    """Train on the frames of train, keep the last epoch or a better one.

    Reads: the frames, the split. Writes: the checkpoint (the kept epoch's detector),
    `metrics.csv` and `speed.csv`, an epoch a row, and `kept.json`, which it is.

    Raises:
        UserError: params that do not fit each other, the data or the machine.
    """
    import pytorch_lightning as pl

    from springfield.images.dataset import read_boxes
    from springfield.learning.checkpoint import save_checkpoint
    from springfield.learning.fit import fit
    from springfield.stages.detection.learner import DetectionLearner

    pl.seed_everything(params.seed, verbose=False)
    classes, sides = read_boxes(paths.index, paths.split)
    assert pd.read_csv(paths.augmented / "index.csv").empty
    detector = _detector(params, classes, machine.weights)
    learner = DetectionLearner(detector, params.optimizer, params.train, params.seed)
    loaders = partial(_loaders, params, paths, sides["train"], sides["val"])
    sides_of = pd.read_csv(paths.split, dtype=str)
    of_val = sides_of[sides_of["split"] == "val"].set_index("id")["group"][sides["val"].ids]
    if fit(learner, loaders, pd.factorize(of_val)[0], machine, paths.training):
        precision = learner.hparams["precision"]
        save_checkpoint(learner.model, paths.checkpoint, machine.made_from, precision)


def check(params: "DetectionParams") -> None:
    """See that there is such a network, and that transforms take boxes along.

    Raises:
        UserError: there is none, or they do not.
    """
    from springfield.images.transforms import Augmentation
    from springfield.learning.learner import first_layers

    first_layers(_detector(params, ["one"], None).backbone, params.train.frozen)
    Augmentation(params.augment.online, params.model.input_size, boxed=True)


def _detector(params: "DetectionParams", classes: list[str], weights: Path | None) -> "Detector":
    import torch

    from springfield.stages.detection.network import Architecture, Detector, load_backbone

    model = params.model
    architecture = Architecture(
        model.backbone, model.input_size, model.mean, model.std, classes, model.width,
        model.detections, model.iou, model.options,
    )  # fmt: skip
    detector = Detector(architecture, model.drop_rate)
    try:
        with torch.inference_mode():
            detector.eval().detect(torch.zeros(1, 3, model.input_size, model.input_size))
    except (AssertionError, RuntimeError) as error:
        raise UserError(
            f"model.input_size={model.input_size}: {model.backbone} cannot take pictures of this "
            "size; take a larger one"
        ) from error
    if weights:
        load_backbone(detector, weights)
    return detector


def _loaders(
    params: "DetectionParams", paths: Paths, train: "BoxedSide", val: "BoxedSide", part: "Part"
) -> "tuple[Loader, Loader]":
    from springfield.images.dataset import BoxedFrames
    from springfield.images.store import ImageStore
    from springfield.images.transforms import Augmentation
    from springfield.sampling.batches import Batches, loader

    size, recipe, online = params.model.input_size, params.train, params.augment.online
    store = ImageStore(paths.images)
    augmentation = Augmentation(online, size, boxed=True) if online else None
    shares = (recipe.batch_size, part.rank, part.world)
    shuffled = Batches(len(train.ids), *shares, seed=params.seed, pieces=recipe.accumulate)
    in_order = Batches(len(val.ids), *shares, pieces=recipe.accumulate)
    frames = BoxedFrames(store, train, size, augmentation, params.seed)
    batch = recipe.batch_size // part.world // recipe.accumulate
    workers = loaders_with_room(part.workers, 3 * batch * size**2, part.here)
    preload = [Augmentation.__module__]
    whole = BoxedFrames(store, val, size)
    train_loader = loader(frames, shuffled, workers, recipe.epochs, preload)
    return train_loader, loader(whole, in_order, workers, preload=preload)
