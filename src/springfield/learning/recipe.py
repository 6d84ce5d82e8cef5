"""How a network learns: the params that every task has."""

from dataclasses import dataclass

from springfield.machine.errors import UserError


@dataclass
class OptimizerParams:
    """How weights are changed."""

    name: str
    """An optimiser of timm."""
    lr: float
    """For the head; earlier layers have less."""
    weight_decay: float
    layer_decay: float
    """Factor of the rate from each layer to the one before it; 1: the same rate everywhere."""
    warmup: float
    """Share of the steps in which the rate rises, before it falls as a cosine."""
    clip: float
    """Largest norm of the gradient; 0: no clipping."""


@dataclass
class TrainParams:
    """How long and on what."""

    epochs: int
    batch_size: int
    """Of all devices together."""
    accumulate: int
    """Pieces that each batch is taken in, one after the other, where it does not fit in memory."""
    precision: str
    """Lightning's name for it: 32-true, bf16-mixed, 16-mixed."""
    compile: bool
    """Let torch.compile make the network faster; the first steps wait for that."""
    head_epochs: int
    """Epochs at the start in which only the head learns."""
    label_smoothing: float
    mixup: float
    """Alpha of the Beta distribution by which pictures are mixed; 0: never."""
    cutmix: float
    """The same for pasting a piece of one picture into another; with both, each batch draws one."""
    auxiliary: float
    """Weight of the loss of Inception's auxiliary head (299 pixels or more); 0: no such head."""
    input_size: int | None
    """Side in pixels of what the network sees in training; none: the model's. Smaller is faster and
    can be better: crops show things larger than the whole picture does (Touvron et al., 2019)."""
    balance: float
    """0: each frame once an epoch; 1: each class as often as the others; between: between."""
    ema: float
    """Decay of the average of the weights, which is what is validated and kept; 0: no average."""
    patience: int
    """Epochs without a better val score before it stops; 0: never."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"train.{name}={value} must be at least 1")
        for name in ("mixup", "cutmix", "auxiliary"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"train.{name}={value} must not be negative")
        if self.input_size is not None and self.input_size < 1:
            raise UserError(f"train.input_size={self.input_size} must be at least 1")
        if not 0 <= self.ema < 1:
            raise UserError(f"train.ema={self.ema} must be at least 0 and below 1")
