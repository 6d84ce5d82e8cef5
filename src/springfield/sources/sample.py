"""A small cartoon, drawn by code: a cast of ten, in shots of nearly identical frames.

Colours of skin, clothes and scenery are shared by the whole cast and change with every shot, and
so do place, size and direction: who it is shows in hair, face and headgear. The drawing never
changes with the seed of an experiment, because it is a data set like any other.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from springfield.machine.progress import track
from springfield.sources.cast import CAST, INK, Colour, Pen, Shot, draw_figure

SIZE = 128, 96
WIDTH, HEIGHT = 256, 192
"""Of the canvas, which is twice as large as a frame."""
SKINS: list[Colour] = [(246, 205, 160), (222, 168, 120), (150, 100, 66), (250, 222, 190)]
CLOTHES: list[Colour] = [
    (200, 60, 60), (60, 110, 190), (70, 150, 90), (230, 170, 60), (130, 80, 160), (90, 90, 100),
    (240, 240, 235),
]  # fmt: skip
WALLS: list[Colour] = [
    (150, 200, 235), (240, 215, 170), (190, 225, 180), (60, 70, 110), (225, 190, 210),
    (170, 160, 150),
]  # fmt: skip


def draw_scenery(
    canvas: ImageDraw.ImageDraw, shot: Shot, width: int = WIDTH, height: int = HEIGHT
) -> None:
    """A room, a street, hills or a shop, its parts placed by the shot's `detail`."""
    rng = np.random.default_rng(shot.detail)
    canvas.rectangle((0, 0, width, height), fill=shot.wall)
    floor = int(height * rng.uniform(0.6, 0.85))
    colours = [CLOTHES[i] for i in rng.permutation(len(CLOTHES))]
    if shot.scenery == 0:  # a room with a window and a picture
        canvas.rectangle((0, floor, width, height), fill=(150, 110, 80))
        for colour in colours[:2]:
            x, y, w = rng.uniform(0, width * 0.8), rng.uniform(5, height * 0.3), rng.uniform(30, 70)
            canvas.rectangle((x, y, x + w, y + w * 0.8), fill=colour, outline=INK, width=3)
    elif shot.scenery == 1:  # a street of houses
        x = -float(rng.uniform(0, 40))
        for colour in colours:
            w = float(rng.uniform(35, 80))
            roof = rng.uniform(10, height * 0.5)
            canvas.rectangle((x, roof, x + w, floor), fill=colour, outline=INK)
            x += w
        canvas.rectangle((0, floor, width, height), fill=(120, 120, 125))
    elif shot.scenery == 2:  # hills
        for colour in ((110, 180, 100), (80, 150, 80), (140, 190, 90)):
            x, r = rng.uniform(0, width), rng.uniform(60, 150)
            canvas.ellipse((x - r, floor - r * 0.4, x + r, floor + r), fill=colour)
    else:  # shelves of a shop
        for shelf in np.linspace(rng.uniform(5, 25), floor, 4):
            canvas.rectangle((0, shelf, width, shelf + 5), fill=(110, 80, 60))
            for x in range(int(rng.uniform(0, 15)), width, 22):
                colour = CLOTHES[int(rng.integers(len(CLOTHES)))]
                canvas.rectangle((x, shelf - rng.uniform(8, 22), x + 13, shelf), fill=colour)


def draw_in_front(
    canvas: ImageDraw.ImageDraw, shot: Shot, width: int = WIDTH, height: int = HEIGHT
) -> None:
    """Something in front: a bush, a table or a post."""
    rng = np.random.default_rng(shot.detail + 1)
    r = shot.radius
    if shot.hidden_by == 1:
        for _ in range(5):
            x, y = shot.x + rng.uniform(-2, 2) * r, shot.y + rng.uniform(1.1, 2.2) * r
            canvas.ellipse((x - r, y - r * 0.7, x + r, y + r), fill=(60, 130, 60), outline=INK)
    elif shot.hidden_by == 2:
        y = shot.y + rng.uniform(0.7, 1.6) * r
        canvas.rectangle((0, y, width, height), fill=(160, 110, 70), outline=INK, width=2)
    elif shot.hidden_by == 3:
        x = shot.x - shot.facing * rng.uniform(0.5, 1.2) * r
        canvas.rectangle((x - 0.3 * r, 0, x + 0.3 * r, height), fill=(130, 130, 140), outline=INK)


def draw_frame(name: str, shot: Shot, frame: int) -> Image.Image:
    """One frame of a shot (RGB, 128 x 96): it differs from the others by a nod, mouth and eyes."""
    rng = np.random.default_rng((shot.detail, frame))
    image = Image.new("RGB", (WIDTH, HEIGHT))
    canvas = ImageDraw.Draw(image)
    draw_scenery(canvas, shot)
    if shot.bystander:  # someone of the crowd, small and from behind: no face to know
        x = (shot.x + WIDTH * 0.45) % WIDTH
        back = Pen(canvas, replace(shot, x=x, radius=shot.radius * 0.5))
        back.shape([(-1.2, 4.5), (-1.0, 1.2), (1.0, 1.2), (1.2, 4.5)], CLOTHES[shot.detail % 7])
        back.oval(0, 0, 1.0, 1.1, CAST[name].hair if shot.detail % 2 else INK)
    moved = replace(
        shot,
        x=shot.x + rng.uniform(-1.5, 1.5),
        y=shot.y + rng.uniform(-1.0, 1.0),
        arm=shot.arm + rng.uniform(-0.1, 0.1),
    )
    draw_figure(canvas, CAST[name], moved, rng.uniform(0.0, 0.15), blink=bool(rng.random() < 0.2))
    draw_in_front(canvas, shot)
    return developed(image, SIZE, rng)


def developed(canvas: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A canvas as a frame: smaller, with the grain of a film."""
    small = np.asarray(canvas.resize(size, Image.Resampling.BOX))
    grain = rng.normal(0, 3, (*small.shape[:2], 1))
    return Image.fromarray(np.clip(small + grain, 0, 255).astype(np.uint8))


def _new_shot(rng: np.random.Generator) -> Shot:
    return Shot(
        radius=float(rng.uniform(28, 46)),
        x=float(rng.uniform(0.25, 0.75) * WIDTH),
        y=float(rng.uniform(0.4, 0.62) * HEIGHT),
        facing=int(rng.choice([-1, 1])),
        skin=SKINS[int(rng.integers(len(SKINS)))],
        shirt=CLOTHES[int(rng.integers(len(CLOTHES)))],
        wall=WALLS[int(rng.integers(len(WALLS)))],
        scenery=int(rng.integers(4)),
        hidden_by=int(rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])),
        arm=float(rng.uniform(-0.6, 0.5)),
        tilt=float(rng.uniform(-0.15, 0.15)),
        bystander=bool(rng.random() < 0.3),
        detail=int(rng.integers(2**31)),
    )


def frames(scale: float = 1.0) -> Iterator[tuple[str, Image.Image]]:
    """Yield every frame with its path `sample/<character>/shot_NNN_frame_N.png`.

    `scale` multiplies the number of frames of each character.
    """
    for number, (name, character) in enumerate(CAST.items()):
        rng = np.random.default_rng(1000 + number)
        left, shot_number = max(6, round(character.frames * scale)), 0
        while left > 0:
            length = min(left, 2 if character.frames < 10 else int(rng.integers(3, 7)))
            shot = _new_shot(rng)
            for frame in range(length):
                path = f"sample/{name}/shot_{shot_number:03}_frame_{frame}.png"
                yield path, draw_frame(name, shot, frame)
            left -= length
            shot_number += 1


def draw_sample(archive: Path, scale: float = 1.0) -> None:
    """Draw the whole cartoon into a zip, byte for byte the same every time."""
    total = sum(max(6, round(character.frames * scale)) for character in CAST.values())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path, image in track(frames(scale), "Drawing the sample", total):
            write_entry(zipped, path, png(image))


def png(image: Image.Image) -> bytes:
    """As a file."""
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=6)
    return content.getvalue()


def write_entry(zipped: zipfile.ZipFile, path: str, content: bytes) -> None:
    """Add a file at a fixed time, or the archive would differ with every run."""
    zipped.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), content)
