"""The machine that runs a stage: nothing here may change what the stage writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


@dataclass
class HardwareParams:
    """The machine, which is no part of an experiment."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    """Lightning's name for it."""
    devices: Literal["auto"] | PositiveInt | Annotated[list[NonNegativeInt], Field(min_length=1)]
    """How many, or the numbers of GPUs."""
    nodes: PositiveInt
    """Of Lightning's own launcher; torchrun and SLURM say it themselves, and the devices too."""
    workers: NonNegativeInt | None
    """Processes that load and decode, of each device; none: as many as pay."""
    loggers: list[Literal["tensorboard"]]
    """Beside MLflow."""

    @property
    def device(self) -> str:
        """PyTorch's name of where one process computes: cuda, cuda:2 or cpu."""
        import torch

        if self.accelerator == "cpu" or not torch.cuda.is_available():
            return "cpu"
        return f"cuda:{self.devices[0]}" if isinstance(self.devices, list) else "cuda"


@dataclass(frozen=True)
class Machine:
    """What a stage may use, and what it is given, beside its params and files."""

    hardware: HardwareParams
    root: Path = Path()
    """The primary repository, which `mirror` is relative to."""
    mirror: str | None = None
    """A folder or URL that is asked first for archives and weights."""
    cache: Path = Path(".springfield")
    """Folder for downloads and weights, which later runs find there."""
    weights: Path | None = None
    """The verified weights that training starts from."""
    work: Path | None = None
    """Folder of what an interrupted training goes on from; none: a temporary one."""
    made_from: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(("data", "params", "code"), "")
    )
    """Hashes of what goes into the training, for its checkpoint."""
    loggers: "Sequence[Logger]" = ()
    """Lightning's."""
