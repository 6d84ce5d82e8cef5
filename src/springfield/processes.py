"""How processes start, and how they end with the one that started them."""

import ctypes
import multiprocessing
import signal
import sys
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext


def end_with_parent() -> None:
    """Have this process killed when its parent ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def worker_context() -> BaseContext:
    """A context whose processes leave Ctrl-C to their parent, from their first instruction on.

    Their own handlers would come too late: imports take seconds, and each would print a traceback.
    """
    resource_tracker.ensure_running()  # which would unblock it below
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()  # its children inherit the mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return multiprocessing.get_context("forkserver")
