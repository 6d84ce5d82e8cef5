"""A server of this machine: what the page and the model are served by."""

import ipaddress
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.progress import console

HOST = "127.0.0.1"
SECONDS = 30
"""That a client may keep silent."""


class Handler(BaseHTTPRequestHandler):
    """What both servers do with every request, before they answer it."""

    protocol_version, timeout = "HTTP/1.1", SECONDS
    disable_nagle_algorithm = True  # or a body waits 40 ms until its headers are acknowledged
    default_request_version = "HTTP/1.0"  # or an answer to what is no HTTP has no status

    def parse_request(self) -> bool:
        """Whether to answer it: it can be read, and is meant for this server.

        One that listens on this machine only is asked by names of this machine only: a page from
        elsewhere could have its own name lead here (DNS rebinding).
        """
        if not super().parse_request():
            return False
        asked = self.headers.get("Host", "localhost")
        try:
            urlsplit(self.path)
            host = urlsplit(f"//{asked}").hostname
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        assert isinstance(self.server, Server)
        here = self.server.socket.getsockname()[0]
        if is_loopback(here) and not is_loopback(host or ""):
            self.close_connection = True
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, explain="ask 127.0.0.1 or localhost")
            return False
        return True

    def handle(self) -> None:
        """Answer the requests of a connection until one side ends it."""
        try:
            super().handle()
        except ConnectionError:  # the client left in the middle of an answer
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is one of this machine that no other machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server(ThreadingHTTPServer):
    """Many may ask at once; those that wait are not turned away."""

    request_queue_size = 128


def listen(
    handler: type[Handler], host: str, port: int, what: str, *, browser: bool = False
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
        server = Server((host, port), handler)
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
