"""What interrupted trainings go on from: a folder each, kept until DVC has the results."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import md5
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from springfield.machine.errors import UserError

RECORD = "run.json"
"""In each folder: a copy of what the training writes to `Paths.run`."""


@contextmanager
def claimed(work: Path) -> Iterator[None]:
    """Create the folder of a training, and keep other processes from the same one.

    Raises:
        UserError: another process runs it.
    """
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work.with_suffix(".lock"), blocking=False):
            yield
    except Timeout as error:
        raise UserError(
            "this very training is already running; wait for it, or end that process"
        ) from error


def forget_finished_trainings(trainings: Path, lock_file: Path) -> None:
    """Delete the folders of trainings whose results DVC has noted in `dvc.lock`.

    Had DVC been killed before that, the results would be lost.
    """
    for over in trainings.glob("*.over"):
        shutil.rmtree(over, ignore_errors=True)
    noted = _noted(lock_file)
    for record in trainings.glob(f"*/{RECORD}"):
        work = record.parent
        lock = FileLock(work.with_suffix(".lock"), blocking=False)
        with suppress(Timeout, FileNotFoundError), lock:
            if md5(record.read_bytes(), usedforsecurity=False).hexdigest() in noted:
                forget_training(work)


def forget_training(work: Path) -> None:
    """Leave nothing to go on from after a training that is over, in one step."""
    over = work.with_suffix(".over")
    shutil.rmtree(over, ignore_errors=True)
    work.rename(over)
    shutil.rmtree(over, ignore_errors=True)


def _noted(lock_file: Path) -> set[str]:
    """The hashes of all outs that `dvc.lock` has."""
    if not lock_file.is_file():
        return set()
    stages = yaml.safe_load(lock_file.read_text()).get("stages", {})
    return {out.get("md5", "") for stage in stages.values() for out in stage.get("outs", [])}
