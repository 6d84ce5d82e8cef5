"""The cast of the sample, and how each of them is drawn."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]

INK: Colour = (40, 30, 40)
FUR: Colour = (150, 148, 155)


@dataclass(frozen=True)
class Shot:
    """What stays the same in all frames of a shot; lengths in head radii or pixels."""

    x: float
    y: float
    radius: float
    facing: int
    skin: Colour
    shirt: Colour
    wall: Colour
    scenery: int
    hidden_by: int
    arm: float
    tilt: float
    bystander: bool
    detail: int


class Pen:
    """Draws in units of a head: (0, 0) is its middle, 1 its radius, x grows where it looks."""

    def __init__(self, canvas: ImageDraw.ImageDraw, shot: Shot) -> None:
        self.canvas, self.shot = canvas, shot
        self.line = max(1, round(shot.radius * 0.07))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        shot = self.shot
        x += shot.tilt * -y
        return shot.x + shot.facing * x * shot.radius, shot.y + y * shot.radius

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """An ellipse."""
        cx, cy = self._at(x, y)
        rx, ry = rx * self.shot.radius, ry * self.shot.radius
        box = (cx - rx, cy - ry, cx + rx, cy + ry)
        self.canvas.ellipse(box, fill=fill, outline=INK, width=self.line)

    def shape(self, points: Points, fill: Colour) -> None:
        """A polygon."""
        placed = [self._at(x, y) for x, y in points]
        self.canvas.polygon(placed, fill=fill, outline=INK, width=self.line)

    def stroke(self, points: Points, fill: Colour = INK, width: float = 0.09) -> None:
        """A line."""
        placed = [self._at(x, y) for x, y in points]
        thickness = max(1, round(width * self.shot.radius))
        self.canvas.line(placed, fill=fill, width=thickness, joint="curve")


def _beehive(pen: Pen, hair: Colour) -> None:
    for y, width in ((-0.75, 0.95), (-1.15, 0.85), (-1.55, 0.7), (-1.9, 0.5)):
        pen.oval(0, y, width, 0.38, hair)


def _tufts(pen: Pen, hair: Colour) -> None:
    for side in (-1, 1):
        pen.oval(side * 0.98, 0.0, 0.26, 0.42, hair)
    pen.shape([(-0.1, 0.42), (0.75, 0.42), (0.95, 0.62), (0.35, 0.52), (-0.2, 0.62)], hair)


def _chef_hat(pen: Pen, hair: Colour) -> None:
    white = (250, 250, 248)
    for x in (-0.55, 0.0, 0.55):
        pen.oval(x, -1.45, 0.48, 0.45, white)
    pen.shape([(-0.8, -0.65), (-0.75, -1.3), (0.75, -1.3), (0.8, -0.65)], white)
    pen.oval(-0.92, -0.25, 0.16, 0.35, hair)


def _pigtails(pen: Pen, hair: Colour) -> None:
    for side in (-1, 1):
        pen.oval(side * 1.4, -0.2, 0.42, 0.62, hair)
        pen.oval(side * 1.05, -0.45, 0.16, 0.16, (235, 90, 120))
    pen.shape([(-0.95, -0.35), (-0.7, -1.05), (0.0, -1.2), (0.7, -1.05), (0.95, -0.35)], hair)


def _flat_top(pen: Pen, hair: Colour) -> None:
    pen.shape([(-0.95, -0.3), (-1.05, -1.5), (1.05, -1.5), (0.95, -0.3), (0.0, -0.6)], hair)
    for x in (0.1, 0.72):
        pen.oval(x, -0.12, 0.33, 0.3, (235, 245, 250))
        pen.oval(x + 0.06, -0.1, 0.08, 0.1, INK)
    pen.stroke([(-0.25, -0.15), (-0.95, -0.2)])


def _spikes(pen: Pen, hair: Colour) -> None:
    points: Points = [(-1.0, -0.2)]
    for step in range(6):
        x = -1.0 + step * 0.4
        points += [(x - 0.25 + 0.1 * step, -1.75 + 0.08 * abs(step - 2)), (x + 0.3, -0.85)]
    pen.shape([*points, (0.95, -0.3), (0.0, -0.55)], hair)


def _cap_and_beard(pen: Pen, hair: Colour) -> None:
    pen.shape([(-0.9, 0.15), (-0.6, 1.15), (0.2, 1.5), (0.9, 1.0), (0.9, 0.3), (0.3, 0.42)], hair)
    pen.oval(0.45, 0.55, 0.25, 0.08, (150, 60, 60))
    pen.shape([(-1.0, -0.4), (-0.8, -1.1), (0.2, -1.3), (0.9, -0.9), (1.0, -0.45)], pen.shot.shirt)
    pen.shape([(0.3, -0.6), (1.75, -0.45), (1.7, -0.28), (0.3, -0.38)], pen.shot.shirt)


def _bob(pen: Pen, hair: Colour) -> None:
    back = [(-1.1, 0.75), (-1.2, -0.5), (-0.7, -1.15), (0.3, -1.2), (0.2, -0.45), (-0.5, 0.8)]
    fringe = [(-0.9, -0.4), (-0.5, -1.1), (0.6, -1.1), (1.05, -0.35), (0.5, -0.3), (0.0, -0.5)]
    pen.shape(back, hair)
    pen.shape(fringe, hair)


def _mohawk(pen: Pen, hair: Colour) -> None:
    pen.shape([(-0.75, -0.7), (-1.0, -1.3), (-0.3, -1.9), (0.55, -1.8), (0.45, -0.85)], hair)
    pen.stroke([(0.15, 0.75), (0.75, 0.75)], (90, 90, 95), 0.2)
    pen.oval(-0.75, 0.25, 0.1, 0.1, (240, 210, 80))


def _afro(pen: Pen, hair: Colour) -> None:
    for x, y in ((-0.95, -0.35), (-0.75, -1.0), (0.0, -1.3), (0.75, -1.0), (0.95, -0.4)):
        pen.oval(x, y, 0.62, 0.58, hair)
    for side in (-1, 1):
        pen.oval(side * 0.95, 0.65, 0.2, 0.26, (240, 205, 70))


def _raccoon(pen: Pen, hair: Colour) -> None:
    pale = (225, 225, 222)
    for ring in range(5):
        pen.oval(-1.5 - 0.3 * ring, 3.4 - 0.5 * ring, 0.42, 0.42, hair if ring % 2 else FUR)
    for x in (-0.62, 0.62):
        pen.shape([(x - 0.42, -0.55), (x, -1.4), (x + 0.42, -0.55)], hair)
        pen.shape([(x - 0.2, -0.65), (x, -1.05), (x + 0.2, -0.65)], pale)
    pen.shape([(-0.5, 0.15), (-0.2, -0.45), (0.9, -0.45), (1.05, 0.1), (0.45, 0.25)], hair)
    for x in (0.12, 0.68):
        pen.oval(x, -0.13, 0.18, 0.18, pale)
        pen.oval(x + 0.06, -0.12, 0.07, 0.08, INK)
    pen.oval(0.5, 0.5, 0.5, 0.3, pale)
    pen.oval(0.8, 0.36, 0.17, 0.12, INK)


@dataclass(frozen=True)
class Character:
    """One of the cast: how it is drawn and how often it is seen."""

    draw: Callable[[Pen, Colour], None]
    hair: Colour
    head: tuple[float, float]
    nose: float
    frames: int
    fur: Colour | None = None
    """Instead of the shot's skin."""


CAST: dict[str, Character] = {
    "ada_quill": Character(_beehive, (110, 80, 170), (0.92, 1.08), 0.22, 400),
    "bruno_vale": Character(_tufts, (110, 75, 45), (1.02, 0.98), 0.3, 320),
    "chef_momo": Character(_chef_hat, (50, 40, 40), (1.05, 0.95), 0.2, 260),
    "dot_wren": Character(_pigtails, (215, 130, 50), (0.98, 0.95), 0.12, 200),
    "earl_finch": Character(_flat_top, (50, 40, 40), (0.9, 1.1), 0.24, 160),
    "fizz_delgado": Character(_spikes, (235, 200, 70), (0.96, 1.0), 0.16, 130),
    "gus_otter": Character(_cap_and_beard, (110, 75, 45), (1.0, 1.0), 0.26, 100),
    "hana_pike": Character(_bob, (50, 40, 40), (0.94, 1.02), 0.12, 80),
    "ivo_stone": Character(_mohawk, (110, 80, 170), (0.95, 1.05), 0.2, 50),
    "june_marsh": Character(_afro, (110, 75, 45), (0.92, 1.0), 0.14, 8),
}
RACCOON = {"raccoon": Character(_raccoon, (60, 56, 62), (1.1, 0.92), 0.12, 200, FUR)}
"""One class, where boxes are learned from a single kind of thing."""


def draw_figure(
    canvas: ImageDraw.ImageDraw, who: Character, shot: Shot, mouth: float, blink: bool
) -> None:
    """Draw a character as a shot has it, with an open mouth (0: shut) or shut eyes."""
    pen, skin = Pen(canvas, shot), who.fur or shot.skin
    body = [(-0.3, 0.7), (-1.2, 1.5), (-1.4, 4.5), (1.4, 4.5), (1.2, 1.5), (0.3, 0.7)]
    pen.shape(body, shot.shirt)
    pen.stroke([(1.0, 1.7), (1.8, 1.9 + shot.arm), (2.2, 1.2 + 2 * shot.arm)], skin, 0.35)
    pen.oval(0, 0, *who.head, skin)
    pen.oval(-0.35, 0.1, 0.14, 0.2, skin)
    for x in (0.15, 0.68):
        if blink:
            pen.stroke([(x - 0.2, -0.12), (x + 0.2, -0.12)])
        else:
            pen.oval(x, -0.15, 0.24, 0.24, (255, 255, 255))
            pen.oval(x + 0.08, -0.13, 0.08, 0.1, INK)
    pen.oval(0.75, 0.2, who.nose, who.nose * 0.7, skin)
    pen.oval(0.45, 0.58, 0.28, 0.04 + mouth, (150, 60, 60))
    who.draw(pen, who.hair)
