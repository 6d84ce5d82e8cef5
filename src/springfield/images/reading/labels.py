"""Boxes of a picture as a label file has them, and why some of them cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from springfield.images.reading.names import as_text, class_name

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2, from the left and the top."""
ToCorners = Callable[[float, float, float, float], Corners]
Listed = dict[str, str]
"""The `source` of a thing, and the `reason` why it is not used."""


@dataclass(frozen=True)
class Box:
    """A box as it is labelled."""

    source: str
    """Where it is from, for people."""
    name: str
    """Its class."""
    corners: Corners
    """In pixels of the original picture, or in shares of its width and height."""


@dataclass
class Labels:
    """What a label file says of one picture."""

    source: str
    """The label file."""
    picture: PurePosixPath
    """What it calls the picture."""
    boxes: list[Box] = field(default_factory=list)
    refused: list[Listed] = field(default_factory=list)
    """Boxes that cannot be used."""
    left_out: list[Listed] = field(default_factory=list)
    """Boxes that are not meant to be used."""
    size: tuple[int, int] | None = None
    """Width and height that the picture is said to have; none: nothing is said."""
    shares: bool = False
    """Whether corners are shares of the width and the height."""
    problem: str = ""
    """Why nothing is known of the picture; empty: it is."""

    def add(self, source: str, name: object, numbers: object, *, to_corners: "ToCorners") -> None:
        """Take a box, or list why it cannot be taken.

        Args:
            source: where it is from.
            name: its class.
            numbers: four of them.
            to_corners: what makes corners of them.
        """
        try:
            if not isinstance(name, str) or not name.strip():
                raise ValueError("its class has no name")
            if not isinstance(numbers, list) or len(numbers) != 4:
                found = len(numbers) if isinstance(numbers, list) else "none"
                raise ValueError(f"not four numbers but {found}")
            four = tuple(map(_number, numbers))
            self.boxes.append(Box(source, class_name(name), to_corners(*four)))
        except ValueError as error:
            self.refused.append({"source": source, "reason": str(error)})


def _number(value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r:.40} is no number") from None


def as_they_are(x1: float, y1: float, x2: float, y2: float) -> Corners:
    """Corners that are given as such."""
    return x1, y1, x2, y2


def text_of(source: str, content: bytes) -> str:
    """A label file as text.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: not UTF-8 (byte {error.start})") from error


def path_of(source: str) -> PurePosixPath:
    """Of a label file, inside its archive."""
    return PurePosixPath(source.rpartition("!")[2])


def named_in(source: str, name: str) -> PurePosixPath:
    """What a label file calls a picture, from its own folder on."""
    return path_of(source).parent / as_text(name.replace("\\", "/"))
