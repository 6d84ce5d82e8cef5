"""Stage train: fine-tune with Lightning on every device there is."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from springfield.errors import UserError
from springfield.files import atomic
from springfield.mirror import RemoteFile, fetch

if TYPE_CHECKING:
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

    from springfield.model import Classifier

AUXILIARY_SIZE = 299
"""The smallest input, in pixels, that the auxiliary head of timm's Inception v3 takes."""


@dataclass
class ModelParams:
    """The network and what it takes in."""

    backbone: str
    """A model of timm by name."""
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
    """Weights to start from, known by their hash; they come from the mirror."""
    pretrained: str | None
    """Or weights of timm's hub, by their tag (`gluon_in1k`); neither: from scratch."""


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


@dataclass
class HardwareParams:
    """The machine, which is no part of an experiment."""

    accelerator: str
    """Lightning's name for it: auto, cpu, gpu."""
    devices: str | int
    nodes: int
    """Of Lightning's own launcher; torchrun and SLURM say it themselves, and the devices too."""
    workers: int | None
    """Processes that load and decode, of each device; none: as many as pay."""


def train(
    model: ModelParams,
    optimizer: OptimizerParams,
    params: TrainParams,
    online: list[dict[str, Any]],
    seed: int,
    hardware: HardwareParams,
    *,
    prepared: Path,
    split: Path,
    augmented: Path,
    checkpoint: Path,
    report: Path,
    work: Path,
    weights: Path,
    mirror: str | None,
    root: Path,
    made_from: dict[str, str],
    loggers: "Sequence[Logger]",
) -> None:
    """Train on train and augmented frames, keep the epoch with the best val score.

    The score is the mean of accuracy and macro-F1; the loss breaks ties.

    Args:
        model: the network.
        optimizer: how weights are changed.
        params: how long and on what.
        online: albumentations transforms for every training image.
        seed: of what is drawn at random.
        hardware: devices and processes.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        augmented: the folder that augment wrote.
        checkpoint: folder to write: the best epoch's classifier.
        report: folder to write: `metrics.csv`, `speed.csv` (an epoch a row) and `curves.png`.
        work: folder for checkpoints to resume from; if it has one, training goes on from there.
        weights: folder where pretrained weights are kept once fetched.
        mirror: a folder or URL that is asked for them.
        root: the primary repository.
        made_from: hashes of what goes into the training, written into the checkpoint.
        loggers: Lightning loggers, of the caller.

    Raises:
        UserError: params that do not fit each other, the data or the machine; weights not found.
    """
    import numpy as np
    import pytorch_lightning as pl
    import torch
    from filelock import FileLock
    from pytorch_lightning.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint

    from springfield.frames import Batches, Frames, loader, read_split, to_labels
    from springfield.history import History, curves_plot
    from springfield.learner import Learner, MovingAverage
    from springfield.model import Architecture, Classifier, load_backbone, save_checkpoint
    from springfield.resume import epoch_of, newest
    from springfield.store import ImageStore
    from springfield.transforms import Augmentation

    size = params.input_size or model.input_size
    if params.auxiliary and (model.backbone != "inception_v3" or size < AUXILIARY_SIZE):
        raise UserError(
            f"train.auxiliary: only inception_v3 from {AUXILIARY_SIZE} pixels on has an auxiliary "
            "head; set it to 0"
        )
    pl.seed_everything(seed, verbose=False)
    stores = [ImageStore(folder / "images.arrow") for folder in (prepared, augmented)]
    copies = pd.read_csv(augmented / "index.csv", keep_default_na=False, dtype=str)
    classes, sides = read_split(prepared, split)
    ids = sides["train"].ids + copies["id"].to_list()
    labels = np.concatenate([sides["train"].labels, to_labels(copies["class"], classes)])
    val = sides["val"]
    counts = np.bincount(labels, minlength=len(classes))
    balanced = counts[labels] ** -params.balance if params.balance else None

    classifier = Classifier(
        Architecture(
            model.backbone, model.input_size, model.mean, model.std, classes, model.options
        ),
        model.drop_rate,
        auxiliary=params.auxiliary > 0,
    )
    if size != model.input_size:
        _check_takes(classifier, size)
    if model.weights:
        weights.mkdir(parents=True, exist_ok=True)
        with FileLock(weights / "lock"):  # torchrun starts all processes at once
            file = fetch(model.weights, weights, mirror, root)
        load_backbone(classifier, file)
    elif model.pretrained:
        load_backbone(classifier, _from_hub(model.backbone, model.pretrained))
    learner = Learner(
        classifier,
        optimizer=optimizer.name,
        lr=optimizer.lr,
        weight_decay=optimizer.weight_decay,
        layer_decay=optimizer.layer_decay,
        warmup=optimizer.warmup,
        head_epochs=params.head_epochs,
        label_smoothing=params.label_smoothing,
        mixup=params.mixup,
        cutmix=params.cutmix,
        auxiliary=params.auxiliary,
        seed=seed,
    )
    if params.compile:
        learner.model.backbone.compile()

    def two(name: str, monitor: str) -> ModelCheckpoint:
        """The two best: a loss of power while one is written leaves the one before it."""
        return ModelCheckpoint(
            work, f"{name}-{{epoch}}", monitor=monitor, mode="max", save_top_k=2,
            auto_insert_metric_name=False, enable_version_counter=False,
        )  # fmt: skip

    best, last = two("best", "val_score"), two("last", "epoch")
    history = History(params.batch_size // params.accumulate)
    own: list[Callback] = [MovingAverage(params.ema)] if params.ema else []
    own += [history, best, last]  # after it: averaging is not waiting for data
    if params.patience:
        early = EarlyStopping("val_score", mode="max", patience=params.patience)

        def stop_again(trainer: pl.Trainer, *_: Any) -> None:
            """It had stopped when this was interrupted; Lightning restores the count only."""
            trainer.should_stop = early.wait_count >= early.patience

        own += [early, LambdaCallback(on_train_start=stop_again)]
    trainer = _trainer(params, optimizer, hardware, own, loggers)
    rank, world = trainer.global_rank, trainer.world_size
    if params.batch_size % (world * params.accumulate):
        raise UserError(
            f"train.batch_size={params.batch_size} cannot be divided by {world} devices and "
            f"train.accumulate={params.accumulate}; take a multiple of {world * params.accumulate}"
        )
    workers = hardware.workers
    if workers is None:
        workers = 0 if trainer.strategy.root_device.type == "cpu" else 4
    batches = (params.batch_size, rank, world)
    augmentation = Augmentation(online, size) if online else None
    shuffled = Batches(len(ids), *batches, weights=balanced, seed=seed, pieces=params.accumulate)
    resumed = newest(work)
    if resumed:  # loader processes start before Lightning says which epoch it is
        shuffled.set_epoch(epoch_of(resumed) + 1)
    with _explained(params):
        trainer.fit(
            learner,
            loader(
                Frames(stores, ids, labels, size, augmentation, seed),
                shuffled,
                workers,
            ),
            loader(
                Frames(stores[:1], val.ids, val.labels, model.input_size),
                Batches(len(val.ids), *batches, pieces=params.accumulate),
                workers,
            ),
            ckpt_path=resumed,
            weights_only=True,
        )
    if not trainer.is_global_zero:
        return
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    learner.load_state_dict(state)
    learner.model.drop_auxiliary()
    save_checkpoint(learner.model, checkpoint, made_from)
    with atomic(report, directory=True) as partial:
        metrics, speed = history.metrics(), history.speed()
        metrics.to_csv(partial / "metrics.csv", index=False, lineterminator="\n")
        speed.to_csv(partial / "speed.csv", index=False, lineterminator="\n")
        curves_plot(metrics, speed, partial / "curves.png")


def _check_takes(model: "Classifier", size: int) -> None:
    """See that a network made for one size of pictures can learn from another."""
    import torch

    try:
        with torch.inference_mode():
            model.eval().logits(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise UserError(
            f"train.input_size={size}: {model.architecture.backbone} cannot take pictures of this "
            f"size; set it to null, for model.input_size={model.architecture.input_size}"
        ) from error


@contextmanager
def _explained(params: TrainParams) -> Iterator[None]:
    """Say what to do about the errors that a training meets."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = "out of memory" if isinstance(error, MemoryError) else str(error)
        for signs, advice in (
            (
                ("out of memory", "can't allocate memory", "not enough memory"),
                f"out of memory with train.batch_size={params.batch_size} and train.accumulate="
                f"{params.accumulate}; train.accumulate={2 * params.accumulate} takes each batch "
                "in smaller pieces",
            ),
            (
                ("DataLoader worker",),
                "a loader process was killed, mostly for want of memory; take fewer "
                "(hardware.workers) and run it again, it goes on from the last epoch",
            ),
            (
                ("Connection closed by peer", "Connection reset by peer", "NCCL", "Broken pipe"),
                "another process of this training has ended (its own output says why); start all "
                "of them again, they go on from the last epoch",
            ),
        ):
            if any(sign in text for sign in signs):
                raise UserError(advice) from error
        raise


def _trainer(
    params: TrainParams,
    optimizer: OptimizerParams,
    hardware: HardwareParams,
    callbacks: "list[Callback]",
    loggers: "Sequence[Logger]",
) -> Any:
    import pytorch_lightning as pl
    import torch
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.utilities.exceptions import MisconfigurationException
    from pytorch_lightning.callbacks import RichProgressBar
    from pytorch_lightning.strategies import DDPStrategy

    from springfield.learner import SyncBatchNorm
    from springfield.resume import Checkpoints

    devices, nodes = launched() or (hardware.devices, hardware.nodes)
    if devices == "auto":
        devices = 1 if hardware.accelerator == "cpu" else max(1, torch.cuda.device_count())
    several = nodes > 1 or devices != 1
    if several:
        callbacks = [*callbacks, _end_between_steps()]
    ddp = DDPStrategy(
        timeout=timedelta(minutes=10),  # for a process that never came
        find_unused_parameters=params.head_epochs > 0,  # only the head learns then
    )
    plugins: list[Any] = [Checkpoints()]
    if hardware.accelerator != "cpu" and torch.cuda.is_available():
        plugins.append(SyncBatchNorm())  # whose own kernels exist on GPUs only
    if SLURMEnvironment.detect() and "TORCHELASTIC_RUN_ID" not in os.environ:
        # SLURM starts the job again; Lightning's own way would go on in the middle of an epoch.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=ddp if several else "auto",
            plugins=plugins,
            precision=params.precision,  # type: ignore[arg-type]
            max_epochs=params.epochs,
            gradient_clip_val=optimizer.clip or None,
            accumulate_grad_batches=params.accumulate,
            # By default it is drawn a hundred times a second, which takes time from training.
            callbacks=[*callbacks, RichProgressBar(refresh_rate=5)],
            logger=list(loggers),
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            enable_model_summary=False,
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise UserError(f"hardware or train.precision: {' '.join(str(error).split())}") from error


def launched() -> tuple[int, int] | None:
    """Processes of this node, and nodes, where torchrun or SLURM started them; else None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    if "SLURM_PROCID" in os.environ and "SLURM_NTASKS_PER_NODE" in os.environ:
        return int(os.environ["SLURM_NTASKS_PER_NODE"]), int(os.environ["SLURM_NNODES"])
    return None


def _end_between_steps() -> "Callback":
    """After SIGTERM, end when a step is done.

    Lightning's own handler talks to the other processes from wherever it interrupted this one.
    """
    from pytorch_lightning.callbacks import LambdaCallback
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    received = threading.Event()

    def listen(trainer: Any, *_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: received.set())
        # Which asks all processes at each step, and lets the GPU wait for the answer.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None

    def end(*_: Any) -> None:
        if received.is_set():
            raise SIGTERMException

    return LambdaCallback(on_train_start=listen, on_train_batch_end=end)


def _from_hub(backbone: str, tag: str) -> Path:
    from huggingface_hub import hf_hub_download
    from timm.models import get_pretrained_cfg

    try:
        config: Any = get_pretrained_cfg(f"{backbone}.{tag}", allow_unregistered=False)
        return Path(hf_hub_download(config.hf_hub_id, "model.safetensors"))
    except Exception as error:
        raise UserError(
            f"cannot get the weights {backbone}.{tag} from timm's hub: "
            f"{' '.join(str(error).split()[:40])}; connect to the network, or take weights that a "
            "mirror has (model=inception_v3_8bit)"
        ) from error
