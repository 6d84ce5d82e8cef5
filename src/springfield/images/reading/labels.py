"""Boxes of a picture as a label file has them, and why some of them cannot be used."""

import math
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
    archive, inside, path = source.partition("!")
    return PurePosixPath(path if inside else archive)


def named_in(source: str, name: str) -> PurePosixPath:
    """What a label file calls a picture, from its own folder on."""
    return path_of(source).parent / as_text(name.replace("\\", "/"))


def carried(
    corners: Corners, original: tuple[int, int], prepared: tuple[int, int], *, shares: bool = False
) -> Corners:
    """A box of the original picture in the prepared one: x1 < x2, y1 < y2, inside of it.

    Args:
        corners: as labelled; reversed ones are sorted, what is outside is cut.
        original: width and height of the picture that people see, in pixels.
        prepared: width and height of the same picture in the store.
        shares: whether corners are shares of width and height, not pixels.

    Returns:
        x1, y1, x2, y2 in pixels of the prepared picture, rounded to hundredths.

    Raises:
        ValueError: not finite, without area, outside, or thinner than a pixel of the prepared
            picture, which crops would lose; the text says which.
    """
    if not all(map(math.isfinite, corners)):
        raise ValueError("not all of its numbers are finite")
    spans = []
    for axis, (whole, size) in enumerate(zip(original, prepared, strict=True)):
        low, high = sorted(corners[axis::2])
        if low == high:
            raise ValueError("it has no area")
        scale = 1.0 if shares else 1 / whole
        low, high = (min(max(edge * scale, 0.0), 1.0) for edge in (low, high))
        if low == high:
            raise ValueError("it is outside of the picture")
        span = round(low * size, 2), round(high * size, 2)
        if span[1] - span[0] < 1:
            raise ValueError("less than a pixel is left of it in the prepared picture")
        spans.append(span)
    (x1, x2), (y1, y2) = spans
    return x1, y1, x2, y2
