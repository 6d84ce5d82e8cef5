"""How a network learns: the params that every task has."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt


@dataclass
class OptimizerParams:
    """How weights are changed."""

    name: Annotated[str, Field(pattern=r"^\w+$")]
    """An optimiser of timm."""
    lr: NonNegativeFloat
    """For the head; earlier layers have less."""
    momentum: Annotated[float, Field(ge=0, lt=1)] | None
    """Share of the last step that the next one keeps, of SGD and its like; null: timm's own."""
    weight_decay: NonNegativeFloat
    l1: NonNegativeFloat
    """Of the sum of all weights without their signs, added to the loss (Tibshirani, 1996); biases
    and norms apart, as for weight decay. With both it is the elastic net (Zou and Hastie, 2005)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    """Factor of the rate from each layer to the one before it; 1: the same rate everywhere."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps in which the rate rises, before it falls as a cosine."""
    clip: NonNegativeFloat
    """Largest norm of the gradient; 0: no clipping."""


@dataclass
class TrainParams:
    """How long and on what; a task may have more."""

    epochs: PositiveInt
    max_minutes: NonNegativeFloat
    """After which the epoch under way is the last, on a slower machine an earlier one; 0: any."""
    limit_batches: Annotated[float, Field(gt=0, le=1)]
    """Share of the batches that an epoch takes, others in each; 1: all."""
    batch_size: PositiveInt
    """Of all devices together."""
    accumulate: PositiveInt
    """Pieces that each batch is taken in, one after the other, where it does not fit in memory."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    """Lightning's name for it; auto: bf16-mixed where the device is fast at it, else 32-true."""
    compile: bool
    """Let torch.compile make the network faster; the first steps wait for that."""
    head_epochs: NonNegativeInt
    """Epochs at the start in which only the head learns."""
    frozen: NonNegativeInt
    """Layers, from the first one on, that keep the weights they come with, which is faster."""
    ema: Annotated[float, Field(ge=0, lt=1)]
    """Decay of the average of the weights, which is what is validated and kept; 0: no average."""
    patience: NonNegativeInt
    """Epochs without a better val score before it stops; 0: never."""
