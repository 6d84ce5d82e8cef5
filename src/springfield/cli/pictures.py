"""What `springfield predict` does with pictures: name them, or find where what is."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

from springfield.artifacts.text import printable, terminal
from springfield.files import atomic
from springfield.images.reading.decoding import decode
from springfield.machine.errors import UserError
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.serving.detect import Box
    from springfield.serving.predict import Opened

Answer = dict[str, Any]


def name(model: "Opened", files: list[Path], top: int, *, as_json: bool) -> None:
    """Print what pictures show.

    Raises:
        UserError: pictures that cannot be read, after all the others.
    """
    from springfield.serving.predict import Predictor

    predictor = Predictor(model)

    def answer(image: Image.Image, _: Path) -> Answer:
        probabilities = predictor.name(image)
        best = list(probabilities.items())[:top]
        return {
            "sure": max(probabilities.values()) >= predictor.threshold,
            "top": [{"class": name, "probability": probability} for name, probability in best],
        }

    def rows(told: Answer) -> list[list[str]]:
        named = [f"{a['class']} {a['probability']:.1%}" for a in told["top"]]
        sure = "" if told["sure"] else "[yellow]not sure[/]"
        return [[terminal(named[0]), sure, terminal(", ".join(named[1:]))]]

    answers = _answers(files, answer)
    _tell(answers, ["shows", "", "or"], rows, as_json=as_json)


def detect(
    model: "Opened",
    files: list[Path],
    threshold: float | None,
    folder: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print what is where in pictures, and draw it into copies of them in a folder.

    Raises:
        UserError: pictures that cannot be read, after all the others.
    """
    from springfield.serving.detect import Detector

    detector = Detector(model)

    def answer(image: Image.Image, path: Path) -> Answer:
        found = detector.find(image, threshold)
        drawn = {"drawn": _readable(_draw(image, found, folder, path))} if folder else {}
        return {"boxes": [box.told for box in found], **drawn}

    def rows(told: Answer) -> list[list[str]]:
        found = [
            [terminal(b["class"]), f"{b['score']:.1%}", " ".join(f"{x:.0f}" for x in b["box"])]
            for b in told["boxes"]
        ]
        return found or [["[yellow]nothing[/]"]]

    answers = _answers(files, answer)
    if any("drawn" in told for told in answers):
        console.print(terminal(f"drawn: {folder}"))
    _tell(answers, ["shows", "score", "x1 y1 x2 y2"], rows, as_json=as_json)


def _answers(files: list[Path], answer: Callable[[Image.Image, Path], Answer]) -> list[Answer]:
    """What is said of each picture, or why it cannot be read."""
    from springfield.serving.predict import find_pictures

    answers = []
    for path in track(find_pictures(files), "Predicting"):
        told: Answer = {"picture": _readable(path)}
        try:
            image = decode(sys.stdin.buffer.read() if path == Path("-") else path.read_bytes())
        except (ValueError, OSError) as error:
            told["error"] = error.strerror if isinstance(error, OSError) else str(error)
        else:
            told |= answer(image, path)
        answers.append(told)
    return answers


def _tell(
    answers: list[Answer],
    columns: list[str],
    rows: Callable[[Answer], list[list[str]]],
    *,
    as_json: bool,
) -> None:
    """Print answers as JSON, or as a table with so many rows of each.

    Raises:
        UserError: pictures that cannot be read.
    """
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        table = Table(Column("picture", overflow="fold"), *columns)
        for told in answers:
            name = terminal(told["picture"])
            if reason := told.get("error"):
                table.add_row(name, f"[red]{terminal(reason)}[/]")
                continue
            for number, cells in enumerate(rows(told)):
                table.add_row("" if number else name, *cells)
        Console().print(table)
    if failed := sum("error" in told for told in answers):
        raise UserError(f"{failed} of {len(answers)} pictures cannot be read")


def _readable(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def _draw(image: Image.Image, found: "list[Box]", folder: Path, source: Path) -> Path:
    """Write a copy of a picture with boxes into a folder, under a name that is free there.

    Raises:
        UserError: it cannot be written.
    """
    from springfield.images.drawing.boxes import FOUND, draw_boxes

    whole = np.array(image.info["size"] * 2)
    corners = np.array([box.corners for box in found], np.float32).reshape(-1, 4)
    names = [f"{printable(box.name)} {box.score:.0%}" for box in found]
    drawn = draw_boxes(np.asarray(image), corners * (image.size * 2) / whole, names, FOUND)
    stem = "picture" if source == Path("-") else source.stem
    free = (folder / f"{stem}{end}.png" for end in ("", *(f"_{n}" for n in range(2, 10**6))))
    try:
        target = next(path for path in free if not path.exists())
        with atomic(target) as partial:
            Image.fromarray(drawn).save(partial, "PNG")
    except OSError as error:
        raise UserError(f"--draw: {folder} cannot be written into: {error.strerror}") from error
    return target
