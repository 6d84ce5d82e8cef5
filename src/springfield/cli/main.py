"""The command: its parts, its options, and how it ends."""

import atexit
import errno
import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from springfield import __version__
from springfield.artifacts.text import terminal
from springfield.cli import configuration, models, stages
from springfield.cli.experiments import experiments
from springfield.cli.search import search
from springfield.cli.summary import summary
from springfield.cli.verify import verify
from springfield.cli.workspace import Shown
from springfield.machine.errors import UserError
from springfield.machine.launch import is_first_process, is_started_by_first
from springfield.machine.processes import end_with_parent, heed_ctrl_c_anywhere
from springfield.machine.progress import console

MLFLOW = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # Seconds, not minutes: a training goes on without MLflow and catches up.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

OF_STAGES = {"data", "models", "reports"}
"""Folders that stages write."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train, evaluate and export an image classifier, repeatably. "
    "'dvc repro' runs the stages that changed; each can also be run alone.",
)
for part in (stages, configuration, models):
    app.add_typer(part.app)
app.command()(summary)
app.command()(experiments)
app.command()(search)
app.command()(verify)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, help="Show the version and end."),
    ] = False,
) -> None:
    """Options of every subcommand."""
    Shown.traceback = debug


def main() -> None:
    """Run the command; an error is one line and an exit status, a traceback only with --debug."""
    atexit.register(gc.freeze)  # collecting garbage as it ends would take it seconds
    for name, value in MLFLOW.items():
        os.environ.setdefault(name, value)
    heed_ctrl_c_anywhere()
    if "DVC_STAGE" in os.environ or os.environ.get("LOCAL_RANK", "0") != "0":
        end_with_parent()  # a killed DVC or first process leaves nothing running behind
    try:
        app()
    except SystemExit as end:
        if end.code is None:  # Lightning's exit after SIGTERM
            _fail("stopped by SIGTERM; the same command goes on from the last epoch", 143)
        # Typer's own end after Ctrl-C, and Lightning's.
        if end.code == 130 or isinstance(end.__context__, KeyboardInterrupt):
            _fail("interrupted; nothing half-written stays, run the same command again", 130)
        raise
    except Exception as error:
        if Shown.traceback:
            raise
        _fail(_one_line(error), 1)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    match error:
        case UserError():
            return text
        case ModuleNotFoundError():
            return f"{error.name} is not installed; in the repository: pip install '.[pipeline]'"
        case FileNotFoundError(filename=str(path)) if not OF_STAGES & {*Path(path).parts}:
            return f"{path} does not exist"
        case FileNotFoundError():
            return f"{error.filename or text} does not exist; run the stages before this: dvc repro"
        case OSError(errno=errno.ENOSPC):
            return f"the disk is full ({error.filename or text}); free space and run it again"
        case OSError(filename=str(path), strerror=str(reason)):
            return f"{path}: {reason}"
        case _:
            return f"{type(error).__name__}: {text} (springfield --debug shows where)"


def _fail(message: str, status: int) -> None:
    if is_first_process() or status == 1:
        console.print(f"[bold red]error:[/] {terminal(message)}")
    # Lightning has the first process killed where one that it started fails before it is gone.
    sys.exit(0 if status != 1 and is_started_by_first() else status)
