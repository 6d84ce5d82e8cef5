"""The checkpoints that a training which was stopped goes on from."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from springfield.files import atomic
from springfield.machine.progress import console


class Checkpoints(TorchCheckpointIO):
    """Write them beside their place, and read them also where the project was moved.

    Lightning's own way leaves a file in the system's temporary folder when it is killed, and
    forgets which epoch was the best when its folder is another.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write one, whole or not at all."""
        content = BytesIO()
        torch.save(checkpoint, content)
        with atomic(Path(path)) as partial:
            partial.write_bytes(content.getbuffer())

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read one, with the paths in it those of its folder."""
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        folder = os.path.realpath(Path(path).parent)

        def moved(value: Any) -> Any:
            if isinstance(value, dict):
                return {moved(key): moved(item) for key, item in value.items()}
            return value.replace(before, folder) if isinstance(value, str) else value

        for name, state in checkpoint["callbacks"].items():
            if before := state.get("dirpath"):
                checkpoint["callbacks"][name] = moved(state)
        return checkpoint


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
