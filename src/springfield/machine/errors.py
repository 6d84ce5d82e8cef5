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
    """Say what to do about the errors that a training meets."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = "out of memory" if isinstance(error, MemoryError) else str(error)
        if re.search("out of memory|can't allocate memory|not enough memory", text):
            advice = (
                f"out of memory with train.batch_size={batch_size} and train.accumulate="
                f"{accumulate}; train.accumulate={2 * accumulate} takes each batch in smaller "
                "pieces"
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
