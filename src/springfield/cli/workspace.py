"""The folder that a command runs in, and the machine that it runs on."""

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.launch import is_first_process
from springfield.machine.paths import Paths
from springfield.machine.progress import console

if TYPE_CHECKING:
    from springfield.config import Params
    from springfield.machine.hardware import Machine

WORKSPACE = Path()
PATHS = Paths()
PARAMS, LOCK = Path("params.yaml"), Path("dvc.lock")
ROOT = Path(os.environ.get("DVC_ROOT", "."))
"""The primary repository, also from DVC's temporary workspaces."""
TRAININGS = ROOT.resolve() / ".springfield/train"
"""What trainings go on from, a folder each."""
LONGEST = 60
"""Characters of a value where differences are told."""


class Shown:
    """What the command shows of errors."""

    traceback = False


def quiet() -> None:
    """Leave what libraries tell their users to --debug."""
    if not Shown.traceback:
        logging.disable(logging.INFO)
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|torch\.|mlflow|onnx")


def start(what: str) -> "Params":
    """Check all params before any work, and say what runs."""
    from springfield.config import load

    quiet()
    params = load(PARAMS)
    if is_first_process():
        chosen = terminal(f" ({' '.join(named)})") if (named := choices(params)) else ""
        console.print(f"[bold]experiment {terminal(params.experiment)}[/]: {what}{chosen}")
    return params


def choices(params: "Params") -> list[str]:
    """What differs from the experiment's own values."""
    from springfield.config import NOTHING, difference

    try:
        found = difference(WORKSPACE, PARAMS, [f"experiment={params.experiment}"])
    except UserError:  # such as no conf/: 'springfield config' says it
        return []
    return [f"{key}={written(here)}" for key, (_, here) in found.items() if here != NOTHING]


def written(value: Any) -> str:
    """A value as a person reads it: null for what is not set, a long one cut."""
    from springfield.config import NOTHING

    text = "null" if value in (None, NOTHING) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def machine(params: "Params") -> "Machine":
    """This machine, by the params and the environment."""
    from springfield.machine.hardware import Machine

    mirror, cache = os.environ.get("SPRINGFIELD_MIRROR"), ROOT / ".springfield"
    return Machine(params.hardware, root=ROOT, mirror=mirror, cache=cache)
