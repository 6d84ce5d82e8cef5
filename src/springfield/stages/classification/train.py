"""Stage train: fine-tune with Lightning on every device there is."""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat

from springfield.files import RemoteFile
from springfield.learning.recipe import TrainParams
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.processes import loaders_with_room

if TYPE_CHECKING:
    from springfield.images.dataset import Side
    from springfield.learning.fit import Part
    from springfield.sampling.batches import Loader
    from springfield.stages.classification.network import Classifier
    from springfield.stages.classification.params import ClassificationParams as Params

NEEDS = ("seed", "model", "optimizer", "train", "augment.online")
AUXILIARY_SIZE = 299
"""The smallest input, in pixels, that the auxiliary head of timm's Inception v3 takes."""
OF_RGB = Field(min_length=3, max_length=3)


@dataclass
class ModelParams:
    """The network and what it takes in."""

    backbone: Annotated[str, Field(min_length=1)]
    """A model of timm by name, or of `code`."""
    code: Annotated[str, Field(pattern=r"\.py$")]
    """The file that defines the backbone, where timm does not."""
    input_size: Annotated[int, Field(ge=8, le=4096)]
    """Side of the input in pixels."""
    mean: Annotated[list[Annotated[float, Field(ge=0, le=1)]], OF_RGB]
    """Of the pixels of a channel (0 to 1), subtracted."""
    std: Annotated[list[PositiveFloat], OF_RGB]
    """Divided by."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    """Dropout before the head."""
    options: dict[str, Any]
    """Further arguments of the backbone."""
    weights: RemoteFile | None
    """Weights to start from, known by their hash; none: from scratch."""


@dataclass
class ClassifierTrainParams(TrainParams):
    """What only classifiers have."""

    loss: Literal["cross_entropy", "hinge", "squared_error"]
    """Cross-entropy; multiclass hinge, of logits with a margin of 1 (Weston and Watkins, 1999); or
    the mean squared error of probabilities (Brier, 1950)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    mixup: NonNegativeFloat
    """Alpha of the Beta distribution by which pictures are mixed; 0: never."""
    cutmix: NonNegativeFloat
    """The same for pasting a piece of one picture into another; with both, each batch draws one."""
    auxiliary: NonNegativeFloat
    """Weight of the loss of Inception's auxiliary head (299 pixels or more); 0: no such head."""
    sizes: list[Annotated[int, Field(ge=8, le=4096)]]
    """Sides in pixels of what the network sees in training, each in an equal part of the epochs;
    none: the model's. Smaller is faster and can be better: crops show things larger than the whole
    picture does (Touvron et al., 2019), and a network may begin small (Tan and Le, 2021)."""
    balance: Annotated[float, Field(ge=0, le=1)]
    """0: each frame once an epoch; 1: each class as often as the others; between: between."""
    logit_adjustment: NonNegativeFloat
    """How many times the logarithm of a class's share of training is added to its logit in the
    cross-entropy (Menon et al., 2021): 1 favours rare classes until all count alike; 0: none."""

    def __post_init__(self) -> None:
        if self.loss == "hinge" and (self.label_smoothing or self.mixup or self.cutmix):
            raise UserError(
                "train.loss=hinge needs labels as they are; set train.label_smoothing, train.mixup "
                "and train.cutmix to 0"
            )
        if self.logit_adjustment and self.loss != "cross_entropy":
            raise UserError(
                f"train.loss={self.loss} has no logits to adjust, as cross_entropy has; set "
                "train.logit_adjustment to 0"
            )


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Train on train and augmented frames, keep the last epoch or a better one.

    Reads: the frames, the split, the augmented frames. Writes: the checkpoint (the kept epoch's
    classifier), `metrics.csv` and `speed.csv`, an epoch a row, and `kept.json`, which it is.

    Raises:
        UserError: params that do not fit each other, the data or the machine.
    """
    import pytorch_lightning as pl

    from springfield.images.dataset import read_split
    from springfield.learning.checkpoint import save_checkpoint
    from springfield.learning.fit import fit
    from springfield.stages.classification.learner import ClassificationLearner

    pl.seed_everything(params.seed, verbose=False)
    classes, sides = read_split(paths.index, paths.split)
    train = _with_augmented(sides["train"], classes, paths.augmented)
    classifier = _classifier(params, classes, machine.weights)
    often = np.bincount(train.labels, _weights(train, params.train.balance), len(classes))
    recipe = params.optimizer, params.train, params.seed
    learner = ClassificationLearner(classifier, *recipe, often / often.sum())
    loaders = partial(_loaders, params, paths, train, sides["val"], classifier)
    sides_of = pd.read_csv(paths.split, dtype=str)
    of_val = sides_of[sides_of["split"] == "val"].set_index("id")["group"][sides["val"].ids]
    groups = pd.factorize(of_val)[0]
    if fit(learner, loaders, groups, machine, paths.training):
        learner.model.drop_auxiliary()
        precision = learner.hparams["precision"]
        save_checkpoint(learner.model, paths.checkpoint, machine.made_from, precision)


def check(params: "Params") -> None:
    """See that there is such a network, and that it takes the pictures that it will be given.

    Raises:
        UserError: there is none, or it does not.
    """
    from springfield.learning.learner import first_layers

    classifier = _classifier(params, ["one", "other"], None)
    first_layers(classifier.backbone, params.train.frozen)


def _with_augmented(side: "Side", classes: list[str], augmented: Path) -> "Side":
    from springfield.images.dataset import Side, to_labels

    copies = pd.read_csv(augmented / "index.csv", keep_default_na=False, dtype=str)
    labels = np.concatenate([side.labels, to_labels(copies["class"], classes)])
    return Side(side.ids + copies["id"].to_list(), labels)


def _weights(train: "Side", balance: float) -> NDArray[np.float64]:
    """How often each frame is drawn (N), relative to the others."""
    return np.asarray(np.bincount(train.labels)[train.labels] ** np.float64(-balance))


def _classifier(params: "Params", classes: list[str], weights: Path | None) -> "Classifier":
    from springfield.stages.classification.network import Architecture, Classifier, load_backbone

    model, auxiliary = params.model, params.train.auxiliary > 0
    sizes = params.train.sizes or [model.input_size]
    if auxiliary and (model.backbone != "inception_v3" or min(sizes) < AUXILIARY_SIZE):
        raise UserError(
            f"train.auxiliary: only inception_v3 from {AUXILIARY_SIZE} pixels on has an auxiliary "
            "head; set it to 0"
        )
    architecture = Architecture(
        model.backbone, model.input_size, model.mean, model.std, classes, model.options
    )
    classifier = Classifier(architecture, model.drop_rate, auxiliary=auxiliary)
    for size in sizes:
        _check_takes(classifier, size)
    if weights:
        load_backbone(classifier, weights)
    return classifier


def _check_takes(model: "Classifier", size: int) -> None:
    """See that a network can take, and give, what it will be given in training."""
    import torch

    name, own = model.architecture.backbone, model.architecture.input_size
    key, mend = f"model.input_size={size}", "null takes the network's own size"
    if size != own:
        key, mend = f"train.sizes: {size}", f"leave it out, or take [] for model.input_size={own}"
    try:
        with torch.inference_mode():
            model.eval().logits(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise UserError(f"{key}: {name} cannot take pictures of this size; {mend}") from error


def _check_learns_from_one(model: "Classifier", size: int, batch_size: int) -> None:
    """See that a network can learn when a device has one picture at a time."""
    import torch

    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            deepcopy(model).train().heads(torch.zeros(1, 3, size, size))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            return  # such as batch norm that GPUs share, which is tried on them only
        raise UserError(
            f"train.batch_size={batch_size} leaves one picture at a time, from which batch norm "
            f"cannot learn; take {2 * batch_size} or a smaller train.accumulate"
        ) from error


def _loaders(
    params: "Params",
    paths: Paths,
    train: "Side",
    val: "Side",
    classifier: "Classifier",
    part: "Part",
) -> "tuple[Loader, Loader]":
    from springfield.images.dataset import Frames
    from springfield.images.store import ImageStore
    from springfield.images.transforms import Augmentation
    from springfield.sampling.batches import Batches, loader

    epochs, sizes = params.train.epochs, params.train.sizes or [params.model.input_size]
    of_epochs = [sizes[epoch * len(sizes) // epochs] for epoch in range(epochs)]
    stores = [ImageStore(paths.images), ImageStore(paths.augmented / "images.arrow")]
    online = params.augment.online
    augmentations = {size: Augmentation(online, size) for size in sizes} if online else {}
    shares = (params.train.batch_size, part.rank, part.world)
    balance, pieces = params.train.balance, params.train.accumulate
    weights = _weights(train, balance) if balance else None
    shuffled = Batches(len(train.ids), *shares, weights=weights, seed=params.seed, pieces=pieces)
    frames = Frames(stores, train.ids, train.labels, of_epochs, augmentations, params.seed)
    whole = Frames(stores[:1], val.ids, val.labels, [params.model.input_size])
    in_order = Batches(len(val.ids), *shares, pieces=pieces)
    batch = params.train.batch_size // part.world // pieces
    if batch == 1:
        _check_learns_from_one(classifier, min(sizes), params.train.batch_size)
    pixels = batch * max(*sizes, params.model.input_size) ** 2
    workers = loaders_with_room(part.workers, 3 * pixels, part.here)
    preload = [Augmentation.__module__]
    train_loader = loader(frames, shuffled, workers, epochs, preload)
    return train_loader, loader(whole, in_order, workers, preload=preload)
