"""The checkpoints that a training which was stopped goes on from."""

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.plugins.io import TorchCheckpointIO

from springfield.files import atomic
from springfield.machine.progress import console


class Checkpoints(TorchCheckpointIO):
    """Write them while training goes on, and read them also where the project was moved.

    Lightning's own way waits for the disk, writes the best epoch twice, leaves a file in the
    system's temporary folder when it is killed, and forgets which epoch was the best when its
    folder is another.
    """

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1)
        self._writes: list[Future[None]] = []
        self._best: Path | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write `last-N.ckpt`, whole or not at all; `best-N.ckpt`, which comes first, links to it.

        Raises:
            OSError: the one before it could not be written.
        """
        if Path(path).name.startswith("best-"):
            self._best = Path(path)
            return
        self._wait()
        here = apply_to_collection(checkpoint, torch.Tensor, _copied)
        self._later(_write, here, Path(path))
        if self._best:
            self._later(_link, Path(path), self._best)
            self._best = None

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove one, after all that is still to be written before it."""
        self._later(super().remove_checkpoint, path)

    def teardown(self) -> None:
        """Wait for what is still to be written.

        Raises:
            OSError: it could not be.
        """
        self._writer.shutdown()
        self._wait()

    def _later(self, work: Any, *arguments: Any) -> None:
        self._writes.append(self._writer.submit(work, *arguments))

    def _wait(self) -> None:
        writes, self._writes = self._writes, []
        for write in writes:  # the first failure tells why; those after it follow from it
            write.result()

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


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    """Out of the way of the next step; later a copy would wait for each kernel that is queued."""
    return tensor.detach().to("cpu", copy=True)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    content = BytesIO()
    torch.save(checkpoint, content)
    with atomic(path) as partial:
        partial.write_bytes(content.getbuffer())


def _link(path: Path, link: Path) -> None:
    with atomic(link) as partial:
        try:
            partial.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, partial)


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
