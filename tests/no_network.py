"""As sitecustomize.py in a Python's path: note and refuse whatever leaves this machine."""

import os
import sys
from typing import Any

LOCAL = ("127.", "::1", "localhost", "0.0.0.0", "::")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = str(arguments[0] or "localhost")
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    else:
        return
    if not host.startswith(LOCAL) and host != os.uname().nodename:
        with open(os.environ["CALLS"], "a") as file:
            file.write(f"{event} {host} {sys.argv}\n")
        raise ConnectionRefusedError(f"{event} {host} is refused in this test")


sys.addaudithook(_audit)
