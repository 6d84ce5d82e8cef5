"""In the place of a command: has the server of forkserver.py run it, and ends as it ends.

forkserver.py writes this into the folder of its socket, under the name of each command.
"""

import os
import signal
import socket
import sys

HERE, NAME = os.path.split(__file__)
COMMAND = os.path.join(os.path.dirname(sys.executable), NAME)


def main() -> None:
    """Send what a process is made of; wait for how it ends."""
    argv = [COMMAND, *sys.argv[1:]]
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(f"{HERE}/socket")
    except OSError:  # the tests are over, and something that they started is not
        os.execv(COMMAND, argv)  # noqa: S606
    # Until they can be handed on: one that ended this would leave the child behind.
    handed_on = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
    request = f"{(argv, os.getcwd(), dict(os.environ))!r}\n".encode()
    sent = socket.send_fds(server, [request], [0, 1, 2])
    server.sendall(request[sent:])
    answers = server.makefile()
    child = int(answers.readline())
    for number in handed_on:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handed_on)
    status = int(answers.readline())
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
