"""How the processes of a training were started, and how they end together."""

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import Callback


def launched() -> tuple[int, int] | None:
    """Processes of this node, and nodes, where torchrun or SLURM started them; else None."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    if "SLURM_PROCID" in os.environ and "SLURM_NTASKS_PER_NODE" in os.environ:
        return int(os.environ["SLURM_NTASKS_PER_NODE"]), int(os.environ["SLURM_NNODES"])
    return None


def is_first_process() -> bool:
    """Whether this is the only one, or the first that Lightning, torchrun or SLURM started."""
    if "RANK" in os.environ:  # torchrun, perhaps within a job of SLURM
        return os.environ["RANK"] == "0"
    ranks = ("NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def end_between_steps() -> "Callback":
    """After SIGTERM, end when a step is done.

    Lightning's own handler talks to the other processes from wherever it interrupted this one.
    """
    from pytorch_lightning.callbacks import LambdaCallback
    from pytorch_lightning.utilities.exceptions import SIGTERMException

    received = threading.Event()

    def listen(trainer: Any, *_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: received.set())
        # Which asks all processes at each step, and lets the GPU wait for the answer.
        assert hasattr(trainer.fit_loop.epoch_loop, "_broadcast_sigterm_tensor")
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None

    def end(*_: Any) -> None:
        if received.is_set():
            raise SIGTERMException

    return LambdaCallback(on_train_start=listen, on_train_batch_end=end)
