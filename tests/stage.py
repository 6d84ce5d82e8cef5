"""Single stages with the params that a test varies; the rest is as in `params.yaml`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from springfield import pipeline
from springfield.config import load
from springfield.images.reading.formats import Layout
from springfield.machine.hardware import HardwareParams, Machine
from springfield.machine.paths import Paths
from springfield.sampling.exclusion import Excluded
from springfield.stages.classification.augment import AugmentParams
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.classification.prepare import PrepareParams
from springfield.stages.download import SourceParams
from springfield.stages.params import TaskParams
from springfield.stages.split import SplitParams

from .conftest import REPOSITORY

CHOSEN = load(REPOSITORY / "params.yaml")
assert isinstance(CHOSEN, ClassificationParams)
PARAMS = replace(CHOSEN, task=TaskParams("classification", "images", ["val_accuracy"]), seed=1)
CPU = Machine(HardwareParams("cpu", devices=1, nodes=1, workers=1, loggers=[]))


def download(source: SourceParams, raw: Path, root: Path, mirror: str | None = None) -> None:
    """Into `raw`; what arrives stays in `cache/downloads` of the repository `root` until then."""
    params = replace(PARAMS, data=replace(PARAMS.data, source=source))
    machine = replace(CPU, root=root, mirror=mirror, cache=root / "cache")
    pipeline.run(params, replace(Paths.within(root), raw=raw), machine, "download")


def prepare(prepare: PrepareParams, layouts: list[Layout], paths: Paths) -> None:
    """In one process."""
    params = replace(PARAMS, prepare=prepare, data=replace(PARAMS.data, layout=layouts))
    pipeline.run(params, paths, CPU, "prepare")


def split(split: SplitParams, seed: int, paths: Paths, exclude: Sequence[Excluded] = ()) -> None:
    """With a seed, and what train leaves out."""
    data = replace(PARAMS.data, exclude=list(exclude))
    pipeline.run(replace(PARAMS, split=split, seed=seed, data=data), paths, CPU, "split")


def augment(augment: AugmentParams, size: int, paths: Paths) -> None:
    """For a network of this input size."""
    model = replace(PARAMS.model, input_size=size)
    pipeline.run(replace(PARAMS, augment=augment, model=model), paths, CPU, "augment")
