"""A server of this machine: what the page and the model are served by."""

import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.progress import console

HOST = "127.0.0.1"


def listen(
    handler: type[BaseHTTPRequestHandler], host: str, port: int, what: str, *, browser: bool = False
) -> None:
    """Answer requests until Ctrl-C.

    Args:
        handler: answers them, each connection in a thread.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        what: is served there.
        browser: open it.

    Raises:
        UserError: the address is taken, or none of this machine.
    """
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another one: "
            "--port 0 takes any that is free"
        ) from error
    with server:
        address = f"http://{host}:{server.server_port}/"
        console.print(f"{terminal(what)}: [bold]{address}[/] (Ctrl-C ends it)")
        if browser:  # in a thread: one that runs in the terminal would wait for this server
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
