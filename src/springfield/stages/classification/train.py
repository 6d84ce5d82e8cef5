"""Stage train: fine-tune with Lightning on every device there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springfield.files import RemoteFile
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from springfield.config import Params
    from springfield.images.batches import Side
    from springfield.learning.fit import Part
    from springfield.stages.classification.network import Classifier

NEEDS = ("seed", "model", "optimizer", "train", "augment.online")
AUXILIARY_SIZE = 299
"""The smallest input, in pixels, that the auxiliary head of timm's Inception v3 takes."""


@dataclass
class ModelParams:
    """The network and what it takes in."""

    backbone: str
    """A model of timm by name, or of `code`."""
    code: str
    """The file that defines the backbone, where timm does not."""
    input_size: int
    """Side of the input in pixels."""
    mean: list[float]
    """Of the pixels of a channel (0 to 1), subtracted."""
    std: list[float]
    """Divided by."""
    drop_rate: float
    """Dropout before the head."""
    options: dict[str, Any]
    """Further arguments of the backbone."""
    weights: RemoteFile | None
    """Weights to start from, known by their hash; none: from scratch."""


@dataclass(frozen=True)
class Trained:
    """The frames that are trained on."""

    ids: list[str]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    """How often each is drawn, relative to the others; none: each one once an epoch."""


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Train on train and augmented frames, keep the epoch with the best val score.

    Reads: the frames, the split, the augmented frames. Writes: the checkpoint (the best epoch's
    classifier), `metrics.csv` and `speed.csv`, an epoch a row.

    Raises:
        UserError: params that do not fit each other, the data or the machine.
    """
    import pytorch_lightning as pl

    from springfield.images.batches import read_split
    from springfield.learning.fit import fit
    from springfield.stages.classification.learner import ClassificationLearner
    from springfield.stages.classification.network import save_checkpoint

    _check_auxiliary(params)
    pl.seed_everything(params.seed, verbose=False)
    classes, sides = read_split(paths.index, paths.split)
    trained = _trained(sides["train"], classes, paths.augmented, params.train.balance)
    classifier = _classifier(params, classes, machine.weights)
    learner = ClassificationLearner(classifier, params.optimizer, params.train, params.seed)

    def loaders(part: "Part") -> "tuple[DataLoader[Any], DataLoader[Any]]":
        return _loaders(params, paths, trained, sides["val"], part)

    if fit(learner, loaders, machine, paths.training):
        learner.model.drop_auxiliary()
        save_checkpoint(learner.model, paths.checkpoint, machine.made_from)


def _check_auxiliary(params: "Params") -> None:
    size = params.train.input_size or params.model.input_size
    if params.train.auxiliary and (
        params.model.backbone != "inception_v3" or size < AUXILIARY_SIZE
    ):
        raise UserError(
            f"train.auxiliary: only inception_v3 from {AUXILIARY_SIZE} pixels on has an auxiliary "
            "head; set it to 0"
        )


def _trained(side: "Side", classes: list[str], augmented: Path, balance: float) -> Trained:
    from springfield.images.batches import to_labels

    copies = pd.read_csv(augmented / "index.csv", keep_default_na=False, dtype=str)
    labels = np.concatenate([side.labels, to_labels(copies["class"], classes)])
    counts = np.bincount(labels, minlength=len(classes))
    weights = counts[labels] ** -balance if balance else None
    return Trained(side.ids + copies["id"].to_list(), labels, weights)


def _classifier(params: "Params", classes: list[str], weights: Path | None) -> "Classifier":
    from springfield.stages.classification.network import Architecture, Classifier, load_backbone

    model = params.model
    classifier = Classifier(
        Architecture(
            model.backbone, model.input_size, model.mean, model.std, classes, model.options
        ),
        model.drop_rate,
        auxiliary=params.train.auxiliary > 0,
    )
    if params.train.input_size not in (None, model.input_size):
        _check_takes(classifier, params.train.input_size)
    if weights:
        load_backbone(classifier, weights)
    return classifier


def _check_takes(model: "Classifier", size: int | None) -> None:
    """See that a network made for one size of pictures can learn from another."""
    import torch

    assert size
    try:
        with torch.inference_mode():
            model.eval().logits(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise UserError(
            f"train.input_size={size}: {model.architecture.backbone} cannot take pictures of this "
            f"size; set it to null, for model.input_size={model.architecture.input_size}"
        ) from error


def _loaders(
    params: "Params", paths: Paths, trained: Trained, val: "Side", part: "Part"
) -> "tuple[DataLoader[Any], DataLoader[Any]]":
    from springfield.images.batches import Batches, Frames, loader
    from springfield.images.store import ImageStore
    from springfield.images.transforms import Augmentation

    size = params.train.input_size or params.model.input_size
    online, pieces = params.augment.online, params.train.accumulate
    stores = [ImageStore(paths.images), ImageStore(paths.augmented / "images.arrow")]
    augmentation = Augmentation(online, size) if online else None
    shares = (params.train.batch_size, part.rank, part.world)
    shuffled = Batches(
        len(trained.ids), *shares, weights=trained.weights, seed=params.seed, pieces=pieces
    )
    shuffled.set_epoch(part.epoch)
    frames = Frames(stores, trained.ids, trained.labels, size, augmentation, params.seed)
    whole = Frames(stores[:1], val.ids, val.labels, params.model.input_size)
    in_order = Batches(len(val.ids), *shares, pieces=pieces)
    return loader(frames, shuffled, part.workers), loader(whole, in_order, part.workers)
