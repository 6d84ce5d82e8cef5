"""The error that a user can mend, and what to do about those of a machine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """One line that says what is wrong, where, and how to mend it."""


class DivergedError(UserError):
    """A training whose loss is no number any more, which a search takes for a bad trial."""


@contextmanager
def explained(batch_size: int, accumulate: int) -> Iterator[None]:
    """Say what to do about the errors that a training meets.

    Args:
        batch_size: frames that a process takes in a step of the optimiser.
        accumulate: into how many pieces they are divided.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = "out of memory" if isinstance(error, MemoryError) else str(error)
        if re.search("out of memory|can't allocate memory|not enough memory", text):
            finer = (n for n in range(accumulate + 1, batch_size + 1) if batch_size % n == 0)
            pieces = next(finer, None)
            advice = f"out of memory with {batch_size // accumulate} frames at once; " + (
                f"train.accumulate={pieces} takes each batch in smaller pieces"
                if pieces
                else "take a smaller model.input_size or network"
            )
        elif "DataLoader worker" in text:
            advice = (
                "a loader process was killed, mostly for want of memory; take fewer "
                "(hardware.workers) and run it again, it goes on from the last epoch"
            )
        elif re.search("Connection (closed|reset) by peer|NCCL|Broken pipe", text):
            advice = (
                "another process of this training has ended (its own output says why); start all "
                "of them again, they go on from the last epoch"
            )
        else:
            raise
        raise UserError(advice) from error
