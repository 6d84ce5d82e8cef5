"""How processes end with the one that started them."""

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Have this process killed when its parent ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
