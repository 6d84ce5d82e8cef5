"""How processes start, and how they end with the one that started them."""

import ctypes
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from types import FrameType
from typing import Any

from springfield.machine.progress import console


def end_with_parent() -> None:
    """Have this process killed when its parent ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def end_with_starter(*_: int) -> None:
    """Have a worker of `worker_context` end when the process that started it has ended.

    Its parent is the fork server, which in turn ends only after its last worker.
    """
    starter = multiprocessing.parent_process()
    assert starter

    def follow() -> None:
        starter.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def loaders_with_room(wanted: int, batch: int, processes: int) -> int:
    """As many loader processes as shared memory has room for; with less, training would hang.

    Args:
        wanted: loader processes of each process, of train and again of val.
        batch: bytes of one; each loader process has two of them wait there.
        processes: of this training on this machine.
    """
    shared = Path("/dev/shm")  # noqa: S108 - where Linux has it
    if not shared.is_dir():
        return wanted
    free = shutil.disk_usage(shared).free // processes
    few = min(wanted, max(0, (free // max(1, batch) - 4) // 4))  # 4: in use, and to spare
    if few < wanted:
        console.print(
            f"loader processes: {few} instead of {wanted}; {shared} has {free / 2**20:.1f} MB free "
            f"for batches of {batch / 2**20:.1f} MB; a container gets more with --shm-size=8g"
        )
    return few


def heed_ctrl_c_anywhere() -> None:
    """Interrupt again where Ctrl-C came in a callback or finaliser, which cannot end anything.

    Python drops the exception there, about one in a hundred times while modules are imported.
    """
    main = threading.main_thread()

    def again(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):  # a moment later: not in here
            threading.Timer(0.05, signal.pthread_kill, (main.ident, signal.SIGINT)).start()
        else:
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = again


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Heed Ctrl-C after this: a process that is half started would stay behind.

    Blocking the signal would not do: another thread gets it, and Python interrupts the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C goes elsewhere
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(*came[0])


def worker_context(*modules: str) -> BaseContext:
    """A context whose processes leave Ctrl-C to their parent, from their first instruction on.

    Their own handlers would come too late: imports take seconds, and each would print a traceback.

    Args:
        modules: which are imported once for all of them, if they are the first of this process.
    """
    forkserver.set_forkserver_preload(["__main__", *modules])
    resource_tracker.ensure_running()  # which would unblock it below
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()  # its children inherit the mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return multiprocessing.get_context("forkserver")


class _Late(BaseException):
    """No `Exception`, which whoever waits might catch to try again."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End a block of the main thread that takes longer, whatever it waits for (not on Windows).

    Raises:
        TimeoutError: it did.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Late as late:
        raise TimeoutError(f"no answer within {seconds:g} s") from late
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
