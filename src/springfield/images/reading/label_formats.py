"""What files of boxes say: COCO JSON, Pascal VOC XML, YOLO text, and the text of Kaggle's set."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml
from defusedxml import DefusedXmlException, ElementTree

from springfield.images.reading.labels import (
    Corners,
    Labels,
    as_they_are,
    named_in,
    path_of,
    text_of,
)
from springfield.images.reading.names import as_text
from springfield.machine.errors import UserError

Files = Mapping[str, bytes]
"""Contents by `archive!path/inside`, or by the name of a file that lies by itself."""
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
YOLO_LINE = re.compile(rf"\s*\d+(?:\s+{NUMBER}){{4}}\s*$")
KAGGLE_LINE = re.compile(rf"[^,]+\.\w+(?:\s*,\s*{NUMBER}){{4}}\s*,[^,]+$")
VOC_ROOT = re.compile(rb"<annotation[\s>]")
SMALL = re.compile("[0-9]{1,9}")
NAMES = ("classes.txt", "obj.names")


def _coco(files: Files, stems: set[str]) -> Iterator[Labels]:
    """The format of COCO: one JSON with `images`, `annotations` and `categories`."""
    for source, content in files.items():
        yield from _coco_file(source, content)


def _coco_file(source: str, content: bytes) -> Iterator[Labels]:
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{source}: damaged JSON ({reason}); get it again") from error
    images, annotations, categories = (
        _objects(source, whole, key) for key in ("images", "annotations", "categories")
    )
    names = {_id(category): category.get("name") for category in categories}
    pictures: dict[str, Labels] = {}
    by_id: dict[object, Labels] = {}
    nowhere = Labels(source, PurePosixPath())
    for image in images:
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            raise UserError(f"{source}: image {_id(image)!r:.40} has no file_name; mend it")
        labels = pictures.setdefault(name, Labels(source, named_in(source, name)))
        width, height = image.get("width"), image.get("height")
        if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
            labels.size = width, height
        by_id[_id(image) or name] = labels
    for place, annotation in enumerate(annotations):
        where = f"{source}, annotation {as_text(str(_id(annotation) or place))[:40]}"
        labels = by_id.get(_id(annotation, "image_id"), nowhere)
        if labels is nowhere:
            nowhere.refused.append({"source": where, "reason": "of an image that is not listed"})
        elif _id(annotation, "category_id") not in names:
            kind = f"{annotation.get('category_id')!r:.40}"
            labels.refused.append({"source": where, "reason": f"an unknown class, {kind}"})
        elif annotation.get("iscrowd"):
            labels.left_out.append({"source": where, "reason": "a crowd (iscrowd), not one of it"})
        else:
            name, numbers = names[_id(annotation, "category_id")], annotation.get("bbox")
            labels.add(where, name, numbers, to_corners=lambda x, y, w, h: (x, y, x + w, y + h))
    yield from pictures.values()
    if nowhere.refused:
        yield nowhere


def _objects(source: str, whole: object, key: str) -> list[dict[str, Any]]:
    found = whole.get(key) if isinstance(whole, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UserError(
            f"{source}: no JSON of COCO: it has no list of {key}; data.layout.labels names others"
        )
    return found


def _id(item: dict[str, Any], key: str = "id") -> object:
    """What it is called, as text: some write 1 here and "1" there."""
    value = item.get(key)
    return None if value is None or isinstance(value, list | dict) else str(value)


def _voc(files: Files, stems: set[str]) -> Iterator[Labels]:
    """The format of Pascal VOC: an XML beside each picture, its corners in pixels."""
    for source, content in files.items():
        labels = Labels(source, path_of(source).with_suffix(""))
        try:
            root = ElementTree.fromstring(content, forbid_dtd=True)
            if root.tag != "annotation":
                raise ValueError(f"<{root.tag:.40}> where <annotation> should be")
        except DefusedXmlException:
            labels.problem = "an XML with a DOCTYPE, which is not read"
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            labels.problem = f"no XML of Pascal VOC ({error})"
        else:
            _voc_objects(labels, root)
        yield labels


def _voc_objects(labels: Labels, root: Any) -> None:
    size = [root.findtext(f"size/{side}", "").strip() for side in ("width", "height")]
    if all(SMALL.fullmatch(side) and int(side) > 0 for side in size):
        labels.size = int(size[0]), int(size[1])
    for place, found in enumerate(root.findall("object"), 1):
        box = found.find("bndbox")
        numbers = None
        if box is not None:
            numbers = [box.findtext(key, "nothing") for key in ("xmin", "ymin", "xmax", "ymax")]
        where = f"{labels.source}, object {place}"
        labels.add(where, found.findtext("name"), numbers, to_corners=as_they_are)


def _kaggle(files: Files, stems: set[str]) -> Iterator[Labels]:
    """The text of Kaggle's Simpsons: `path,x1,y1,x2,y2,class` a line."""
    for source, content in files.items():
        pictures: dict[str, Labels] = {}
        try:
            lines = text_of(source, content).splitlines()
        except ValueError as error:
            raise UserError(f"{error}; save it as UTF-8") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                path, *rest = line.rsplit(",", 5)
                labels = pictures.setdefault(path, Labels(source, named_in(source, path.strip())))
                name = rest[-1] if rest else None
                where = f"{source}, line {number}"
                labels.add(where, name, rest[:-1], to_corners=as_they_are)
        yield from pictures.values()


def _yolo(files: Files, stems: set[str]) -> Iterator[Labels]:
    """YOLO's text beside each picture: `class middle_x middle_y width height` a line, in shares."""
    names = _yolo_names(files)
    for source, content in files.items():
        path = path_of(source)
        if path.suffix.lower() != ".txt" or path.name in NAMES:
            continue
        try:
            lines = text_of(source, content).splitlines()
        except ValueError as error:
            if path.stem in stems:
                yield Labels(source, path.with_suffix(""), problem=str(error))
            continue
        if path.stem in stems or any(map(YOLO_LINE.match, lines)):
            yield _yolo_file(source, lines, names)


def _yolo_file(source: str, lines: list[str], names: list[str]) -> Labels:
    labels = Labels(source, path_of(source).with_suffix(""), shares=True)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        position, *numbers = line.split()
        where = f"{source}, line {number}"
        if not SMALL.fullmatch(position) or int(position) >= len(names):
            reason = f"an unknown class, {position!r:.40} of {len(names)} names"
            labels.refused.append({"source": where, "reason": reason})
        else:
            labels.add(where, names[int(position)], numbers, to_corners=_around)
    return labels


def _around(x: float, y: float, width: float, height: float) -> Corners:
    if x > 1 or y > 1 or x < 0 or y < 0:
        raise ValueError(f"its middle {x:g}, {y:g} is no share (0 to 1) of width and height")
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _yolo_names(files: Files) -> list[str]:
    """The names of YOLO's numbers, from 0 on.

    Raises:
        UserError: there are none, they cannot be read, or two files have others.
    """
    found: dict[str, list[str]] = {}
    for source, content in files.items():
        path = path_of(source)
        try:
            if path.name in NAMES or path.suffix == ".names":
                names = [line.strip() for line in text_of(source, content).rstrip().splitlines()]
                if "" in names:
                    raise ValueError(f"line {names.index('') + 1} is blank")
                found[source] = names
            elif path.suffix in (".yaml", ".yml") and (listed := _yaml_names(content)) is not None:
                found[source] = listed
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{source}: no names of classes ({reason}); mend it") from error
    first = next(iter(found), "")
    if not found or not found[first]:
        raise UserError(
            "YOLO's labels are numbers, and no file has their names: add classes.txt with a name "
            "a line, or data.yaml with 'names: [a, b]' (data.layout.labels must match it, too)"
        )
    if other := next((source for source in found if found[source] != found[first]), ""):
        raise UserError(
            f"{first} and {other} have other names of classes; data.layout.labels tells which "
            "files are read"
        )
    return found[first]


def _yaml_names(content: bytes) -> list[str] | None:
    """The `names` of a data.yaml, a list or a mapping from 0 on; none: it has none."""
    whole = yaml.safe_load(content)
    names = whole.get("names") if isinstance(whole, dict) else None
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise ValueError("the numbers of names are not 0, 1, 2, ...")
        names = [names[number] for number in range(len(names))]
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise ValueError("names is no list of names")
    if any(isinstance(name, bool) for name in names):
        raise ValueError("to YAML, yes, no, on and off are no names; write 'yes' and 'no'")
    return [str(name) for name in names]


def _first_line(content: bytes) -> str:
    return next(iter(content[:4096].decode("utf-8-sig", "replace").strip().splitlines()), "")


@dataclass(frozen=True)
class LabelFormat:
    """How files of a format are known, and read."""

    suffixes: tuple[str, ...]
    """Of files that may be of it."""
    is_label: Callable[[bytes], bool]
    """Whether a file's content is plainly of it."""
    read: Callable[[Files, set[str]], Iterator[Labels]]
    """All such files, given the stems of all pictures."""
    by_stem: bool
    """Whether a label file belongs to the picture of the same name."""


LABEL_FORMATS = {
    "coco": LabelFormat(
        (".json",), lambda c: b'"images"' in c and b'"annotations"' in c, _coco, by_stem=False
    ),
    "voc": LabelFormat((".xml",), lambda c: bool(VOC_ROOT.search(c)), _voc, by_stem=True),
    "yolo": LabelFormat(
        (".txt", ".names", ".yaml", ".yml"),
        lambda c: bool(YOLO_LINE.match(_first_line(c))),
        _yolo,
        by_stem=True,
    ),
    "kaggle": LabelFormat(
        (".txt", ".csv"), lambda c: bool(KAGGLE_LINE.match(_first_line(c))), _kaggle, by_stem=False
    ),
}
"""By their name in `data.layout`."""
