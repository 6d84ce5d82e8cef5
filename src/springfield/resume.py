"""The checkpoints that a training which was stopped goes on from."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from springfield.files import atomic
from springfield.progress import console


class Checkpoints(TorchCheckpointIO):
    """Write them beside their place.

    Lightning's own way leaves a file in the system's temporary folder when it is killed.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write one, whole or not at all."""
        content = BytesIO()
        torch.save(checkpoint, content)
        with atomic(Path(path)) as partial:
            partial.write_bytes(content.getbuffer())


def epoch_of(checkpoint: Path) -> int:
    """The epoch that it was written after."""
    return int(checkpoint.stem.split("-")[1])


def newest(work: Path) -> Path | None:
    """The newest checkpoint of an interrupted training that is whole, as its best one must be."""
    for path in sorted(work.glob("last-*.ckpt"), key=epoch_of, reverse=True):
        if all(_is_whole(file) for file in work.glob(f"*-{epoch_of(path)}.ckpt")):
            return path
        console.print(f"{path.name} is damaged: going on from the epoch before it")
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # what a loss of power leaves can fail in any way
        return False
    return True
