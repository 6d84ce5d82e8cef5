"""What `springfield predict` does with a detector."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Column, Table

from springfield.artifacts.text import printable, terminal
from springfield.images.reading.decoding import decode
from springfield.machine.errors import UserError
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.serving.detect import Box
    from springfield.serving.predict import Opened


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
    from springfield.serving.predict import find_pictures

    detector = Detector(model)
    answers: list[dict[str, Any]] = []
    for path in track(find_pictures(files), "Predicting"):
        answer: dict[str, Any] = {"picture": _readable(path)}
        try:
            image = decode(sys.stdin.buffer.read() if path == Path("-") else path.read_bytes())
            found = detector.find(image, threshold)
            answer["boxes"] = [box.told for box in found]
        except (ValueError, OSError) as error:
            answer["error"] = error.strerror if isinstance(error, OSError) else str(error)
        else:
            if folder:
                answer["drawn"] = _readable(_draw(image, found, folder, path))
        answers.append(answer)
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        _print(answers)
    if folder:
        console.print(terminal(f"drawn: {folder}"))
    if failed := sum("error" in answer for answer in answers):
        raise UserError(f"{failed} of {len(answers)} pictures cannot be read")


def _readable(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def _print(answers: list[dict[str, Any]]) -> None:
    table = Table(Column("picture", overflow="fold"), "shows", "score", "x1 y1 x2 y2")
    for answer in answers:
        name = terminal(answer["picture"])
        if reason := answer.get("error"):
            table.add_row(name, f"[red]{terminal(reason)}[/]")
            continue
        for box in answer["boxes"]:
            corners = " ".join(f"{side:.0f}" for side in box["box"])
            table.add_row(name, terminal(box["class"]), f"{box['score']:.1%}", corners)
            name = ""
        if not answer["boxes"]:
            table.add_row(name, "[yellow]nothing[/]")
    Console().print(table)


def _draw(image: Image.Image, found: "list[Box]", folder: Path, source: Path) -> Path:
    """Write a copy of a picture with boxes into a folder, under a name that is free there."""
    from springfield.images.drawing.boxes import FOUND, draw_boxes

    whole = np.array(image.info["size"] * 2)
    corners = np.array([box.corners for box in found], np.float32).reshape(-1, 4)
    names = [f"{printable(box.name)} {box.score:.0%}" for box in found]
    drawn = draw_boxes(np.asarray(image), corners * (image.size * 2) / whole, names, FOUND)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "picture" if source == Path("-") else source.stem
    free = (folder / f"{stem}{end}.png" for end in ("", *(f"_{n}" for n in range(2, 10**6))))
    target = next(path for path in free if not path.exists())
    Image.fromarray(drawn).save(target)
    return target
