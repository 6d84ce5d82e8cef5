"""The params that every task has."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from springfield.learning.recipe import OptimizerParams
from springfield.machine.hardware import HardwareParams
from springfield.sampling.exclusion import Excluded
from springfield.stages.download import SourceParams

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""How all params of a task are checked."""
Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
"""Letters, digits, and `_.-`: it becomes a part of names in MLflow."""


@dataclass
class TaskParams:
    """What is learnt."""

    name: Literal["classification", "detection", "forecasting"]
    """A folder of `stages/`."""
    samples: Literal["images", "series"]
    """The package that knows its samples."""
    curves: Annotated[list[str], Field(min_length=1)]
    """Columns of `reports/train/metrics.csv` that `dvc plots show` draws."""


@dataclass
class AboutParams:
    """What the model's card says of a data set."""

    title: Annotated[str, Field(min_length=1)]
    license: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    """As model hubs name it."""
    url: Annotated[str, Field(pattern="^https?://")] | None


@dataclass
class DataParams:
    """A data set; a task adds its layout."""

    name: Name
    about: AboutParams
    watch: Annotated[str, Field(min_length=1)]
    """A local file or folder whose changes are noticed."""
    source: SourceParams
    exclude: list[Excluded]
    """Pictures with wrong labels, which train leaves out; val and test stay as they are."""


@dataclass
class CommonParams:
    """All of `params.yaml` that no task has for itself."""

    experiment: Name
    task: TaskParams
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    optimizer: OptimizerParams
    hardware: HardwareParams
