"""Commands for a trained model: predict, explain, compare, promote, pull, show."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import springfield
from springfield.artifacts.text import terminal
from springfield.cli.workspace import PATHS, ROOT, start
from springfield.machine.errors import UserError
from springfield.machine.progress import console

if TYPE_CHECKING:
    from springfield.tracking.registry import Comparison

WEB = Path("web")
PACKAGED = Path(springfield.__file__).parent / "web"
"""The page in a wheel."""
PANEL = "Models"
app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def predict(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...", help="Pictures, folders, or - for standard input; of a series CSVs"
        ),
    ],
    model: Annotated[Path, typer.Option(help="What 'springfield export' wrote")] = PATHS.onnx,
    top: Annotated[int, typer.Option(min=1, help="So many classes of each picture")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all decimals")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw a forecast into this picture")] = None,
    draw: Annotated[
        Path | None, typer.Option(help="Of a detector: draw the boxes, into copies in this folder")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of a detector: lowest score of a box; default: its own"),
    ] = None,
) -> None:
    """Name what pictures show, find where it is, or say how a series goes on, as the model can.

    A picture that cannot be read does not stop the others.
    """
    from springfield.serving.predict import open_model

    opened = open_model(model)
    for option, task, value in (
        ("--plot", "forecasting", plot),
        ("--draw", "detection", draw),
        ("--threshold", "detection", threshold),
    ):
        if value is not None and task != opened.task:
            raise UserError(f"{option} is for models of {task}; {model} is one of {opened.task}")
    if opened.task == "forecasting":
        from springfield.cli.forecast import forecast

        forecast(opened, pictures, plot, as_json=as_json)
    elif opened.task == "detection":
        from springfield.cli.pictures import detect

        detect(opened, pictures, threshold, draw, as_json=as_json)
    else:
        from springfield.cli.pictures import name

        name(opened, pictures, top, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def explain(
    picture: Annotated[Path, typer.Argument(help="A file")],
    model: Annotated[Path, typer.Option(help="What 'springfield export' wrote")] = PATHS.onnx,
    output: Annotated[Path, typer.Option(help="Picture to write")] = Path("explained.png"),
    of: Annotated[str | None, typer.Option("--class", help="Default: the most probable")] = None,
) -> None:
    """Draw what in a picture the decision rests on: red where hiding a part changes most."""
    from springfield.serving.explain import occlusion, overlay
    from springfield.serving.predict import Predictor, pixels

    predictor = Predictor(model)
    try:
        image = pixels(picture.read_bytes())
    except ValueError as error:
        raise UserError(f"{picture}: {error}") from error
    probabilities = predictor.probabilities(image[None])[0]
    name = of or predictor.classes[int(probabilities.argmax())]
    if name not in predictor.classes:
        raise UserError(f"no class '{name}'; there are: {', '.join(predictor.classes)}")
    position = predictor.classes.index(name)
    overlay(image, occlusion(predictor, image, position)).save(output)
    console.print(terminal(f"{name} {probabilities[position]:.1%}: {output}"))


Number = Annotated[
    int | None, typer.Argument(help=f"Of a version; default: that of {PATHS.onnx}", min=1)
]


@app.command(rich_help_panel=PANEL)
def compare(number: Number = None) -> None:
    """A version beside the champion of this data set: params, scores, a paired test."""
    from springfield.tracking import registry
    from springfield.tracking.run import store, usable

    data, uri = start("compare").data.name, store(ROOT)
    with usable(uri):
        found = registry.compare(uri, data, number or PATHS.onnx)
    _tell_comparison(found)


@app.command(rich_help_panel=PANEL)
def promote(
    number: Number = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that is not better, or tested on other frames")
    ] = False,
) -> None:
    """Make a version the champion, if it is better on the same test frames."""
    from springfield.tracking import registry
    from springfield.tracking.run import store, usable

    data, uri = start("promote").data.name, store(ROOT)
    with usable(uri):
        found = registry.promote(uri, data, number or PATHS.onnx, force=force)
    _tell_comparison(found)
    which = "" if number else f" ({PATHS.onnx})"
    console.print(f"version {found.challenger.number}{which} is the champion of {data}")


def _tell_comparison(found: "Comparison") -> None:
    from rich.table import Table

    old, new = found.champion, found.challenger
    if old is None:
        console.print(f"no champion yet to compare version {new.number} with")
        return
    table = Table("", f"champion ({old.number})", f"version {new.number}", "difference")
    for key, before, after in found.changed:
        table.add_row(terminal(key), terminal(before), terminal(after))
    table.add_section()
    for name, score in new.scores.items():
        was = old.scores.get(name, math.nan)
        table.add_row(f"test {name}", f"{was:.4f}", f"{score:.4f}", f"{score - was:+.4f}")
    Console().print(table)
    if found.p is None:
        console.print("tested on different frames: these scores cannot be compared")
    else:
        console.print(
            f"{len(new.predictions)} test samples, paired permutation test of their scores by "
            f"groups: p = {found.p:.2g}"
        )
        if old.number != new.number:
            console.print(
                f"comparison {found.look} with champion {old.number} on these frames: p must be "
                f"below {found.significant:.2g}, less each time, so that luck alone promotes in at "
                "most 5 % of cases"
            )


@app.command(rich_help_panel=PANEL)
def pull(
    name: Annotated[
        str | None, typer.Argument(help="A registered model; default: the only one there is")
    ] = None,
    alias: Annotated[str, typer.Option(help="Of the version")] = "champion",
) -> None:
    """Bring a model from the MLflow server that MLFLOW_TRACKING_URI names: models/."""
    try:
        from springfield.serving.pull import pull
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is missing; in the repository: pip install '.[pull]'"
        ) from error

    pull(os.environ.get("MLFLOW_TRACKING_URI", ""), name, alias, PATHS.onnx.parent)


@app.command("app", rich_help_panel=PANEL)
def page(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="To serve on; 0 takes any that is free.")
    ] = 8000,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    build: Annotated[
        Path | None,
        typer.Option(help="Write the page into this folder, for any static host, and end."),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option("--samples", help="With --build: pictures of the test data, if you may."),
    ] = False,
) -> None:
    """Show the page that runs the model in the browser."""
    from springfield.serving.page import build as write
    from springfield.serving.page import serve, site

    web = WEB if WEB.is_dir() else PACKAGED
    content = site(web, PATHS, samples=samples or not build)
    if build:
        write(content, build)
        console.print(terminal(f"written: {build}; 'python -m http.server -d {build}' serves it"))
    else:
        serve(content, port, browser=browser)


@app.command(rich_help_panel=PANEL)
def serve(
    model: Annotated[Path, typer.Option(help="What 'springfield export' wrote")] = PATHS.onnx,
    host: Annotated[str, typer.Option(help="0.0.0.0: for other machines, too")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free")] = 8080,
) -> None:
    """Answer over HTTP: a picture in, names and probabilities out, or boxes."""
    from springfield.serving.server import serve

    serve(model, host, port)
