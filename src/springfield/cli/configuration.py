"""Commands that choose: from `conf/` to params.yaml."""

from typing import Annotated

import typer
from rich.markup import escape

from springfield.cli.workspace import PARAMS, WORKSPACE, start
from springfield.machine.errors import UserError
from springfield.machine.progress import console

PANEL = "Configuration"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def config() -> None:
    """Tell how params.yaml differs from what conf/ composes."""
    start("config")
    tell_difference()


def tell_difference() -> None:
    """Say where params.yaml is not what `conf/` composes."""
    from springfield.config import difference

    try:
        found = difference(WORKSPACE, PARAMS)
    except UserError as error:  # it tells and never fails
        console.print(f"[yellow]{escape(str(error))}[/]")
        return
    if found:
        console.print("[yellow]params.yaml differs from what conf/ composes:[/]")
        for key, there, here in found:
            console.print(f"  {key}: {here} here, {there} in conf/", markup=False)
        console.print("stages read params.yaml; to take conf/ over: [bold]springfield compose[/]")


@app.command(rich_help_panel=PANEL)
def compose(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Hydra overrides, such as optimizer.lr=3e-4 or split=random"),
    ] = None,
) -> None:
    """Write params.yaml from conf/, with overrides."""
    from springfield.config import compose

    compose(WORKSPACE, PARAMS, overrides or [])


@app.command(rich_help_panel=PANEL)
def use(experiment: Annotated[str, typer.Argument(help="A file of conf/experiment/")]) -> None:
    """Make an experiment the current one, in conf/config.yaml and params.yaml."""
    from springfield.config import use

    use(WORKSPACE, experiment)
    console.print(f"experiment: [bold]{experiment}[/]")
