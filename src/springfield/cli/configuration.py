"""Commands that choose: from `conf/` to params.yaml."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from springfield.artifacts.text import terminal
from springfield.cli.workspace import PARAMS, WORKSPACE, start, written
from springfield.machine.errors import UserError
from springfield.machine.progress import console

PANEL = "Configuration"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def config(
    changed: Annotated[
        bool, typer.Option("--changed", help="Only how params.yaml differs from conf/")
    ] = False,
) -> None:
    """Print the whole configuration, with the file that each value is from."""
    params = start("config")
    if changed:
        tell_difference()
        return
    import yaml

    from springfield.config import by_key, difference

    own = difference(WORKSPACE, PARAMS, [f"experiment={params.experiment}"])
    files = _origins(WORKSPACE, params.experiment)
    output = Console(soft_wrap=True, highlight=False)
    for key, value in by_key(PARAMS).items():
        file = files.get(key, "conf/")
        origin = f"{PARAMS} ({written(own[key][0])} in {file})" if key in own else file
        line = yaml.safe_dump({key: value}, default_flow_style=True, width=math.inf).strip()
        line = terminal(line[1:-1])  # without the braces
        output.print(f"{line}  [dim]# {terminal(origin)}[/]")


def _origins(root: Path, experiment: str) -> dict[str, str]:
    """The file of `conf/` that each key of an experiment has its value from."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from springfield.config import flat

    found: dict[str, str] = {}
    with initialize_config_dir(str(root.resolve() / "conf"), version_base=None):
        loader = GlobalHydra.instance().config_loader()
        choice = [f"experiment={experiment}"]
        for part in loader.compute_defaults_list("config", choice, RunMode.RUN).defaults:
            path = root / f"conf/{part.config_path}.yaml"
            if path.is_file():  # the others are Hydra's own
                content = OmegaConf.to_container(OmegaConf.load(path))
                package = f"{part.package}." if part.package else ""
                found |= {f"{package}{key}": str(path) for key in flat(content)}
    return found


def tell_difference() -> None:
    """Say where params.yaml is not what `conf/` composes."""
    from springfield.config import difference

    try:
        found = difference(WORKSPACE, PARAMS)
    except UserError as error:  # it tells and never fails
        console.print(f"[yellow]{terminal(str(error))}[/]")
        return
    if found:
        console.print("[yellow]params.yaml differs from what conf/ composes:[/]")
        _tell(found)
        console.print("stages read params.yaml; to take conf/ over: [bold]springfield compose[/]")


def _tell(found: dict[str, tuple[Any, Any]], before: bool = False) -> None:
    from springfield.config import NOTHING

    for key, (there, here) in found.items():
        if there in (None, NOTHING) and here in (None, NOTHING):
            continue  # a group with values on the other side: they are told
        old, new = written(there), written(here)
        told = f"{new} is dropped, it is {old} again" if before else f"{new} here, {old} in conf/"
        console.print(terminal(f"  {key}: {told}"))


@app.command(rich_help_panel=PANEL)
def compose(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Hydra overrides, such as optimizer.lr=3e-4 or split=random"),
    ] = None,
) -> None:
    """Write params.yaml from conf/ and these overrides; what was chosen before is dropped."""
    from springfield import pipeline
    from springfield.config import compose, difference

    try:
        before = difference(WORKSPACE, PARAMS)
    except UserError:  # params.yaml is missing, or not what this version can read
        before = {}
    compose(WORKSPACE, PARAMS, overrides or [], pipeline.check)
    found = difference(WORKSPACE, PARAMS)
    _tell(found)
    _tell({key: pair for key, pair in before.items() if key not in found}, before=True)


@app.command(rich_help_panel=PANEL)
def use(experiment: Annotated[str, typer.Argument(help="A file of conf/experiment/")]) -> None:
    """Make an experiment the current one, in conf/config.yaml and params.yaml."""
    from springfield import pipeline
    from springfield.config import use

    use(WORKSPACE, experiment, pipeline.check)
    console.print(f"experiment: [bold]{experiment}[/]")
