"""The cartoon with several of the cast in a frame, and the boxes of what is seen of each.

One to four characters, or one raccoon or two, the nearer ones before the others, and sometimes a
bush, a table or a post before them. A box is around the pixels of a figure that nothing hides, as
they were drawn.
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from springfield.machine.progress import track
from springfield.sources.cast import CAST, RACCOON, Character, Shot, draw_figure
from springfield.sources.sample import (
    CLOTHES,
    SKINS,
    WALLS,
    developed,
    draw_in_front,
    draw_scenery,
    png,
    write_entry,
)

SIZE = 200, 160
WIDTH, HEIGHT = 400, 320
"""Of the canvas, which is twice as large as a frame."""
RAREST = 100
"""Who is in fewer frames of the other sample is drawn as often as if in so many."""
FACE = 0.6
"""Share of each head that is seen at least: hair and face tell who it is."""
Figures = list[tuple[str, Shot]]
"""Who is in a scene and how, the farthest first."""
Seen = tuple[str, tuple[float, float, float, float], float]
"""Who is seen, the box (x1, y1, x2, y2 in pixels of the frame), and the share of the head."""


@dataclass(frozen=True)
class Cartoon:
    """What is drawn."""

    name: str
    cast: dict[str, Character]
    frames: int
    crowd: tuple[float, ...]
    """How often there are one, two, ... figures in a frame."""


SEVERAL = Cartoon("sample_boxes", CAST, 720, (0.35, 0.3, 0.2, 0.15))
RACCOONS = Cartoon("raccoon", RACCOON, 200, (0.85, 0.15))


def _new_scene(cartoon: Cartoon, rng: np.random.Generator) -> Figures:
    cast = cartoon.cast
    often = np.sqrt([max(RAREST, character.frames) for character in cast.values()])
    count = 1 + int(rng.choice(len(cartoon.crowd), p=cartoon.crowd))
    alike = count > len(cast)
    names = rng.choice(list(cast), count, replace=alike, p=often / often.sum())
    scenery, detail = int(rng.integers(4)), int(rng.integers(2**31))
    wall = WALLS[int(rng.integers(len(WALLS)))]
    figures = [
        (
            str(name),
            Shot(
                radius=float(rng.uniform(26, 58 - 6 * count)),
                x=float((place + rng.uniform(0.2, 0.8)) / count * WIDTH),
                y=float(rng.uniform(0.3, 0.65) * HEIGHT),
                facing=int(rng.choice([-1, 1])),
                skin=SKINS[int(rng.integers(len(SKINS)))],
                shirt=CLOTHES[int(rng.integers(len(CLOTHES)))],
                wall=wall,
                scenery=scenery,
                hidden_by=int(rng.choice(4, p=[0.55, 0.15, 0.15, 0.15])),
                arm=float(rng.uniform(-0.6, 0.5)),
                tilt=float(rng.uniform(-0.15, 0.15)),
                bystander=False,
                detail=detail,
            ),
        )
        for name, place in zip(names, rng.permutation(count), strict=True)
    ]
    return sorted(figures, key=lambda figure: figure[1].radius)


def _draw(cartoon: Cartoon, figures: Figures, frame: int) -> tuple[Image.Image, list[Seen]]:
    """A frame of a scene, and who is seen where."""
    nearest = figures[-1][1]
    rng = np.random.default_rng((nearest.detail, frame))
    image = Image.new("RGB", (WIDTH, HEIGHT))
    draw_scenery(ImageDraw.Draw(image), nearest, WIDTH, HEIGHT)
    masks: list[NDArray[np.bool_]] = []
    for name, shot in figures:
        moved = replace(
            shot,
            x=shot.x + rng.uniform(-1.5, 1.5),
            y=shot.y + rng.uniform(-1.0, 1.0),
            arm=shot.arm + rng.uniform(-0.1, 0.1),
        )
        layer = Image.new("RGBA", image.size)
        mouth, blink = rng.uniform(0.0, 0.15), bool(rng.random() < 0.2)
        draw_figure(ImageDraw.Draw(layer), cartoon.cast[name], moved, mouth, blink)
        masks.append(_lay(image, layer))
    before = Image.new("RGBA", image.size)
    draw_in_front(ImageDraw.Draw(before), nearest, WIDTH, HEIGHT)
    hidden = _lay(image, before)
    seen = []
    for (name, shot), mask in zip(reversed(figures), reversed(masks), strict=True):
        visible = mask & ~hidden
        hidden |= mask
        chin = int(shot.y + 0.8 * shot.radius)
        if visible.any():
            share = visible[:chin].sum() / max(1, mask[:chin].sum())
            seen.append((name, _box(visible), float(share)))
    return developed(image, SIZE, rng), seen


def _lay(image: Image.Image, layer: Image.Image) -> NDArray[np.bool_]:
    """Put a layer before an image; the pixels (H x W) that it covers."""
    image.paste(layer, (0, 0), layer)
    return np.asarray(layer)[..., 3] > 0


def _box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Around the pixels of a mask of the canvas, in pixels of the frame."""
    scale = SIZE[0] / WIDTH
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    edges = across[0], down[0], across[-1] + 1, down[-1] + 1
    x1, y1, x2, y2 = (float(scale * edge) for edge in edges)
    return x1, y1, x2, y2


def frames(cartoon: Cartoon, count: int) -> Iterator[tuple[str, Image.Image, list[Seen]]]:
    """Yield so many frames with their path `<cartoon>/shot_NNN_frame_N.png`, and who is seen."""
    rng = np.random.default_rng(2000)
    shot = 0
    while count > 0:
        figures = _new_scene(cartoon, rng)
        seen = _draw(cartoon, figures, 0)[1]
        if len(seen) < len(figures) or min(share for _, _, share in seen) < FACE:
            continue
        length = min(count, int(rng.integers(1, 4)))
        for frame in range(length):
            path = f"{cartoon.name}/shot_{shot:03}_frame_{frame}.png"
            yield path, *_draw(cartoon, figures, frame)
        count -= length
        shot += 1


def draw_sample_boxes(archive: Path, cartoon: Cartoon, scale: float = 1.0) -> None:
    """Draw it into a zip with its boxes as COCO JSON, byte for byte the same every time.

    Args:
        archive: the file to write.
        cartoon: what is drawn.
        scale: share of the frames.
    """
    count = max(30, round(cartoon.frames * scale))
    numbers = {name: number for number, name in enumerate(cartoon.cast, 1)}
    coco: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path, image, seen in track(frames(cartoon, count), "Drawing the sample", count):
            write_entry(zipped, path, png(image))
            picture = len(coco["images"]) + 1
            width, height = SIZE
            coco["images"].append(
                {"id": picture, "file_name": Path(path).name, "width": width, "height": height}
            )
            for name, (x1, y1, x2, y2), _ in seen:
                box = [x1, y1, x2 - x1, y2 - y1]
                coco["annotations"].append(
                    {
                        "id": len(coco["annotations"]) + 1, "image_id": picture,
                        "category_id": numbers[name], "bbox": box, "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )  # fmt: skip
        write_entry(zipped, f"{cartoon.name}/boxes.json", json.dumps(coco, indent=1).encode())
