"""Boxes: read from each format, carried to the prepared picture, used or listed with a reason."""

import base64
import copy
import csv
import io
import json
import math
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import TypeAdapter

from springfield import pipeline
from springfield.images.reading.boxes import BoxLayout, OtherScale, Side, read_labels
from springfield.images.reading.labels import Box, Corners, carried
from springfield.images.store import ImageStore
from springfield.machine.errors import UserError
from springfield.machine.paths import Paths
from springfield.sources.sample_boxes import RACCOONS, SEVERAL, Cartoon, draw_sample_boxes
from springfield.stages.detection.prepare import PrepareParams
from springfield.stages.download import SourceParams
from springfield.stages.params import TaskParams

from . import stage
from .conftest import REPOSITORY, SHARED, Project

ANY = BoxLayout("any", [Side("")])
WIDTH, HEIGHT = 80, 60
Found = list[list[Any]]


def drawn(number: int, box: tuple[int, int, int, int] = (20, 15, 60, 45)) -> bytes:
    """A picture unlike those of other numbers, of 80 x 60 pixels, with a rectangle in it."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(blocks).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).rectangle(box, fill=(250, 30, 30))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def put(folder: Path, files: dict[str, bytes], name: str = "set.zip") -> Path:
    """Pack files into an archive in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as zipped:
        for path, content in files.items():
            zipped.writestr(path, content)
    return folder / name


def prepared(
    folder: Path, layout: BoxLayout = ANY, shorter_side: int = 30, max_refused: float = 1.0
) -> tuple[dict[str, Found], dict[str, Any]]:
    """What prepare makes of the archives in `folder/data/raw`: boxes by path, and its report."""
    paths = Paths.within(folder)
    wanted = PrepareParams(shorter_side, max_refused)
    task = TaskParams("detection", "images", ["val_map50"])
    params = SimpleNamespace(task=task, data=SimpleNamespace(layout=layout), prepare=wanted)
    pipeline.run(cast("Any", params), paths, stage.CPU, "prepare")
    with paths.index.open() as file:
        rows = list(csv.DictReader(file))
    boxes = {row["source"].split("!")[1]: json.loads(row["boxes"]) for row in rows}
    images = ImageStore(paths.images)
    for row in rows:
        across, down = images.size(row["id"])
        names = {name for name, *_ in json.loads(row["boxes"])}
        assert row["class"] in (names or {""})
        for _, x1, y1, x2, y2 in json.loads(row["boxes"]):
            assert 0 <= x1 < x2 <= across
            assert 0 <= y1 < y2 <= down
    report = json.loads(paths.data_report.read_text())
    listed = len(report["refused_boxes"]) + len(report["left_out"])
    assert report["boxes_read"] == report["boxes"] + listed
    return boxes, report


def layout_of(data: str) -> BoxLayout:
    """Of a data set of `conf/data`."""
    content = yaml.safe_load((REPOSITORY / f"conf/data/{data}.yaml").read_text())
    return TypeAdapter(BoxLayout).validate_python(content["layout"])


def coco(boxes: dict[str, list[tuple[str, list[Any]]]], **more: Any) -> bytes:
    """COCO JSON of boxes (class and x, y, width, height) by picture."""
    names = sorted({name for of_one in boxes.values() for name, _ in of_one})
    content: dict[str, Any] = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(boxes, 1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, 1)],
        "annotations": [
            {"image_id": n, "category_id": names.index(name) + 1, "bbox": box}
            for n, of_one in enumerate(boxes.values(), 1)
            for name, box in of_one
        ],
    }
    for number, annotation in enumerate(content["annotations"], 1):
        annotation["id"] = number
    return json.dumps(content | more).encode()


def voc(inside: str, root: str = "annotation") -> bytes:
    return f"<{root}>{inside}</{root}>".encode()


def voc_object(*corners: object, name: str = "cat") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name><bndbox>{inside}</bndbox></object>"


HALF = ["cat", 10.0, 7.5, 30.0, 22.5]
"""The box 20, 15, 60, 45 once a picture of 80 x 60 pixels has half its size."""
BACKGROUND: list[Any] = []
Odd = dict[str, tuple[Any, Any]]
"""What is said of a picture by its name, and its boxes, or what is said of it in a list."""
ODD_COCO: Odd = {
    "plain": ({}, [HALF]),
    "reversed": ({"bbox": [60, 45, -40, -30]}, [HALF]),
    "text_ids": ({"category_id": "1", "id": "one"}, [HALF]),
    "partly_outside": ({"bbox": [-20, 15, 40, 99]}, [["cat", 0.0, 7.5, 10.0, 30.0]]),
    "no_area": ({"bbox": [20, 15, 0, 30]}, "it has no area"),
    "outside": ({"bbox": [90, 15, 20, 30]}, "it is outside of the picture"),
    "a_hair": ({"bbox": [20, 15, 0.001, 30]}, "less than a pixel is left of it"),
    "nan": ({"bbox": [20, 15, math.nan, 30]}, "not all of its numbers are finite"),
    "infinite": ({"bbox": [20, 15, math.inf, 30]}, "not all of its numbers are finite"),
    "overflow": ({"bbox": [10**400, 15, 40, 30]}, "is no number"),
    "true": ({"bbox": [True, 15, 40, 30]}, "True is no number"),
    "words": ({"bbox": ["left", 15, 40, 30]}, "'left' is no number"),
    "three": ({"bbox": [20, 15, 40]}, "not four numbers but 3"),
    "polygon_only": ({"bbox": None}, "not four numbers but none"),
    "unknown": ({"category_id": 99}, "an unknown class, 99"),
    "nameless": ({"category_id": 2}, "its class has no name"),
    "crowd": ({"iscrowd": 1}, r"a crowd \(iscrowd\)"),
    "elsewhere": ({"image_id": 999}, "of an image that is not listed"),
    "missing": ({}, "no picture 'missing.png'"),
    "other_size": ({}, "labelled as 160x120, but it is 80x60"),
}
ODD_VOC: Odd = {
    "plain": (voc(voc_object(20, 15, 60, 45)), [HALF]),
    "reversed": (voc(voc_object(60, 45, 20, 15)), [HALF]),
    "two": (voc(2 * voc_object(20, 15, 60, 45)), [HALF, HALF]),
    "blanks": (voc(voc_object(" 20 ", "15.0", "6e1", 45, name=" cat ")), [HALF]),
    "background": (voc("<size/>"), BACKGROUND),
    "size_zero": (
        voc("<size><width>0</width><height>0</height></size>" + voc_object(20, 15, 60, 45)),
        [HALF],
    ),
    "other_size": (
        voc("<size><width>60</width><height>80</height></size>" + voc_object(20, 15, 60, 45)),
        "labelled as 60x80, but it is 80x60",
    ),
    "entities": (
        b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]>' + voc(voc_object("&y;", 1, 2, 3)),
        "an XML with a DOCTYPE",
    ),
    "file_entity": (
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + voc("&x;"),
        "an XML with a DOCTYPE",
    ),
    "cut_short": (voc(voc_object(20, 15, 60, 45))[:-9], "no XML of Pascal VOC"),
    "other_root": (voc("", "html"), "<html> where <annotation> should be"),
    "encoding": (b'<?xml version="1.0" encoding="x"?><annotation/>', "no XML of Pascal VOC"),
    "no_bndbox": (voc("<object><name>cat</name></object>"), "not four numbers but none"),
    "no_xmax": (voc(voc_object(1, 2, "", 3)), "'' is no number"),
    "no_name": (voc(voc_object(1, 2, 3, 4, name="")), "its class has no name"),
    "nan": (voc(voc_object("nan", 2, 3, 4)), "not all of its numbers are finite"),
    "missing": (voc(voc_object(1, 2, 3, 4)), "no picture 'Annotations/missing'"),
}
ODD_YOLO: Odd = {
    "plain": (b"0 0.5 0.5 0.5 0.5", [HALF]),
    "mark_and_windows": ("\ufeff0 0.5 0.5 0.5 0.5\r\n".encode(), [HALF]),
    "reversed": (b"0 0.5 0.5 -0.5 0.5\n\n", [HALF]),
    "partly_outside": (b"0 0 0.5 0.5 0.5", [["cat", 0.0, 7.5, 10.0, 22.5]]),
    "background": (b"", BACKGROUND),
    "unknown": (b"7 0.5 0.5 0.5 0.5", "an unknown class, '7' of 2 names"),
    "negative": (b"-1 0.5 0.5 0.5 0.5", "an unknown class, '-1'"),
    "many_digits": (b"9" * 5000 + b" 0.5 0.5 0.5 0.5", "an unknown class"),
    "pixels": (b"0 40 30 40 30", r"its middle 40, 30 is no share \(0 to 1\)"),
    "polygon": (b"0 0.1 0.1 0.9 0.1 0.5 0.9", "not four numbers but 6"),
    "no_area": (b"0 0.5 0.5 0 0.5", "it has no area"),
    "infinite": (b"0 0.5 0.5 inf 0.5", "not all of its numbers are finite"),
    "words": (b"0 a b c d", "'a' is no number"),
    "binary": (b"\xff\xfe\x00\x01", "not UTF-8"),
    "missing": (b"0 0.5 0.5 0.5 0.5", "no picture 'labels/missing'"),
}
ODD_KAGGLE: Odd = {
    "plain": ("20,15,60,45,cat", [HALF]),
    "reversed": ("60,45,20,15,cat", [HALF]),
    "blanks": (" 20, 15, 60, 45, cat", [HALF]),
    "partly_outside": ("20,15,60,1e9,cat", [["cat", 10.0, 7.5, 30.0, 30.0]]),
    "no_area": ("20,15,20,45,cat", "it has no area"),
    "five": ("20,15,60,45", "not four numbers but 3"),
    "words": ("20,fifteen,60,45,cat", "'fifteen' is no number"),
    "no_class": ("20,15,60,45,", "its class has no name"),
    "nan": ("nan,15,60,45,cat", "not all of its numbers are finite"),
    "missing": ("20,15,60,45,cat", "no picture 'characters/missing.png'"),
}


def odd_coco(cases: Odd) -> dict[str, bytes]:
    content = json.loads(coco({f"{n}.png": [("cat", [20, 15, 40, 30])] for n in cases}))
    for annotation, (changes, _) in zip(content["annotations"], cases.values(), strict=True):
        annotation |= changes
    content["categories"].append({"id": 2, "name": None})
    content["images"][list(cases).index("other_size")] |= {"width": 160, "height": 120}
    return {"boxes.json": json.dumps(content).encode()}


def odd_yolo(cases: Odd) -> dict[str, bytes]:
    labels = {f"labels/{name}.txt": said for name, (said, _) in cases.items()}
    return labels | {"classes.txt": b"cat\ndog\n", "README.txt": b"0 thanks\n"}


def odd_kaggle(cases: Odd) -> dict[str, bytes]:
    lines = [f"./characters/{name}.png,{said}" for name, (said, _) in cases.items()]
    return {"annotation.txt": "\n\n".join(lines).encode()}


@pytest.mark.parametrize(
    ("cases", "write"),
    [
        (ODD_COCO, odd_coco),
        (ODD_VOC, lambda cases: {f"Annotations/{n}.xml": said for n, (said, _) in cases.items()}),
        (ODD_YOLO, odd_yolo),
        (ODD_KAGGLE, odd_kaggle),
    ],
    ids=["coco", "voc", "yolo", "kaggle"],
)
def test_every_odd_box_is_used_or_listed_with_its_reason(
    cases: Odd, write: Callable[[Odd], dict[str, bytes]], tmp_path: Path
) -> None:
    pictures = {f"images/{n}.png": drawn(i) for i, n in enumerate(cases) if n != "missing"}
    put(tmp_path / "data/raw", {**pictures, **write(cases), "images/nobody.png": drawn(99)})
    boxes, report = prepared(tmp_path)
    lists = ("refused", "refused_boxes", "left_out")
    said = [f"{one['source']}: {one['reason']}" for kind in lists for one in report[kind]]
    for place, (name, (_, expected)) in enumerate(cases.items()):
        if isinstance(expected, str):
            where = f"{name}|annotation {place + 1}|line {2 * place + 1}"
            found = [one for one in said if re.search(where, one) and re.search(expected, one)]
            assert found, (name, said)
            assert not boxes.get(f"images/{name}.png")
        else:
            assert boxes[f"images/{name}.png"] == expected, name
    assert report["unmatched"] == 1
    assert report["background"] == len({"background", "elsewhere"} & set(cases))
    assert {"class": "cat", "boxes": report["boxes"]}.items() <= report["classes"][0].items()
    page = Paths.within(tmp_path).data_page.read_text()
    assert page.count("<code>") == len(said) + len(report["unboxed"])


GOOD_COCO = coco({"a.png": [("cat", [20, 15, 40, 30])]})
YOLO_LABEL = {"a.txt": b"0 0.5 0.5 0.5 0.5"}


@pytest.mark.parametrize(
    ("files", "layout", "reason"),
    [
        ({}, ANY, "no label file"),
        ({"readme.txt": b"cats"}, ANY, "no label file"),
        ({"boxes.json": GOOD_COCO[:-9]}, ANY, r"boxes\.json: damaged JSON"),
        ({"boxes.json": b""}, BoxLayout("coco", [Side("")]), r"boxes\.json: damaged JSON"),
        ({"boxes.json": b"[" * 10**6}, BoxLayout("coco", [Side("")]), "nested too deeply"),
        ({"boxes.json": b"[]"}, BoxLayout("coco", [Side("")]), "no list of images"),
        ({"boxes.json": coco({}, images={"a": 1})}, ANY, "no list of images"),
        ({"boxes.json": coco({}, categories=None)}, ANY, "no list of categories"),
        ({"boxes.json": coco({}, images=[{"id": 3}])}, ANY, "image '3' has no file_name"),
        ({"boxes.json": coco({"b.png": []})}, ANY, r"labels name 'b\.png'.*called 'a\.png'"),
        ({"boxes.json": GOOD_COCO, "a.xml": voc("")}, ANY, r"coco \(.*and voc \(.*choose"),
        ({"boxes.json": GOOD_COCO}, BoxLayout("coco", [Side("jpg$")]), "no label belongs to"),
        ({"boxes.json": GOOD_COCO}, BoxLayout("any", [Side("")], "xml$"), "no label file"),
        (YOLO_LABEL, ANY, "no file has their names: add classes.txt"),
        ({**YOLO_LABEL, "classes.txt": b"a\n\nb"}, ANY, "classes.txt: no names.*line 2 is blank"),
        ({**YOLO_LABEL, "data.yaml": b"names: [no, yes]"}, ANY, "to YAML, yes, no, on and off"),
        ({"a.xml": voc("", "annotations")}, ANY, "no label file"),
        ({"b.xml": voc("", "annotation2") + voc("")}, BoxLayout("voc", [Side("")]), "no XML of"),
        ({**YOLO_LABEL, "classes.txt": b"\xff"}, ANY, "classes.txt: no names.*not UTF-8"),
        ({**YOLO_LABEL, "classes.txt": b"\n"}, ANY, "no file has their names"),
        ({**YOLO_LABEL, "data.yaml": b"names: {0: a, 2: b}"}, ANY, "are not 0, 1, 2"),
        ({**YOLO_LABEL, "data.yaml": b"names: [a, [b]]"}, ANY, "no list of names"),
        ({**YOLO_LABEL, "data.yaml": b"names: [a"}, ANY, r"data\.yaml: no names of classes"),
        (
            {**YOLO_LABEL, "classes.txt": b"a", "data.yaml": b"names: [b]"}, ANY,
            "have other names of classes",
        ),
        ({"annotation.txt": b"a.png,1,2,3,4,b\n\xff"}, ANY, "not UTF-8.*save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_at_all_is_one_line(
    files: dict[str, bytes], layout: BoxLayout, reason: str, tmp_path: Path
) -> None:
    archive = put(tmp_path, {"a.png": drawn(1), **files})
    with pytest.raises(UserError, match=reason) as raised:
        read_labels([archive], layout)
    assert "\n" not in str(raised.value)


def test_patterns_that_are_none_are_refused() -> None:
    for make in (lambda: Side("(a"), lambda: BoxLayout("any", [Side("")], "(a")):
        with pytest.raises(UserError, match=r"data.layout: '\(a': "):
            make()


def test_too_many_bad_boxes_fail_and_leave_nothing(tmp_path: Path) -> None:
    boxes = {"a.png": [("cat", [20, 15, 40, 30]), ("cat", [1, 1, 0, 5])]}
    put(tmp_path / "data/raw", {"a.png": drawn(1), "boxes.json": coco(boxes)})
    with pytest.raises(UserError, match=r"1 of 2 boxes cannot be used.*annotation 2: it has no"):
        prepared(tmp_path, max_refused=0.1)
    assert not (tmp_path / "data/prepared").exists()


def test_the_class_of_a_picture_is_its_rarest(tmp_path: Path) -> None:
    cat, dog = ("cat", [20, 15, 40, 30]), ("dog", [1, 1, 9, 9])
    boxes = {"0.png": [cat, dog], "1.png": [cat], "2.png": []}
    put(tmp_path / "data/raw", {f"{n}.png": drawn(n) for n in range(3)})
    (tmp_path / "data/raw/boxes.json").write_bytes(coco(boxes))
    prepared(tmp_path)
    with Paths.within(tmp_path).index.open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["dog", "cat", ""]


def test_labels_beside_several_archives_and_repeated_names_find_their_pictures(
    tmp_path: Path,
) -> None:
    """Of repeated folders, as in Kaggle's archive, the outer one is meant."""
    for number, name in enumerate("ab"):
        put(tmp_path, {f"set/{name}/1.png": drawn(number)}, f"{name}.zip")
    put(tmp_path, {"set/set/a/1.png": drawn(0)}, "c.zip")
    (tmp_path / "boxes.json").write_bytes(coco({f"set/{n}/1.png": [] for n in "ab"}))
    found = read_labels(sorted(tmp_path.iterdir()), ANY)
    assert {source: str(labels.picture) for source, (labels, _) in found.pictures.items()} == {
        "a.zip!set/a/1.png": "set/a/1.png",
        "b.zip!set/b/1.png": "set/b/1.png",
    }
    assert found.files == 3


def test_labels_of_each_side_belong_to_its_pictures(tmp_path: Path) -> None:
    """Also where one side's picture of that name is gone."""
    files = {f"{side}/labels/1.txt": b"0 0.5 0.5 0.5 0.5" for side in ("train", "val")}
    pictures = {"val/images/1.png": drawn(1), "train/images/2.png": drawn(2)}
    archive = put(tmp_path, {**pictures, **files, "data.yaml": b"names: {0: cat}"})
    found = read_labels([archive], layout_of("boxes"))
    (source, (labels, split)), = found.pictures.items()  # fmt: skip
    assert (source.split("!")[1], labels.source.split("!")[1], split) == (
        "val/images/1.png", "val/labels/1.txt", "val"
    )  # fmt: skip
    ((lost, reason),) = found.lost
    assert lost.source.endswith("train/labels/1.txt")
    assert "has its labels from" in reason


def test_the_same_picture_twice_is_used_once(tmp_path: Path) -> None:
    cat, other = [("cat", [20, 15, 40, 30])], [("cat", [1, 1, 40, 30])]
    boxes = {"0.png": cat, "1.png": cat, "2.png": other}
    files = {name: drawn(7) for name in boxes}
    put(tmp_path / "data/raw", {**files, "boxes.json": coco(boxes)})
    found, report = prepared(tmp_path)
    assert list(found) == ["0.png"]
    assert [len(report[kind]) for kind in ("duplicates", "conflicts")] == [1, 1]
    assert "1 pictures are there again with other boxes" in report["notes"][0]


def test_a_copy_without_boxes_makes_no_background_of_a_picture(tmp_path: Path) -> None:
    bad, good = ("cat", [9, 9, 0, 9]), ("cat", [20, 15, 40, 30])
    boxes = {"0.png": [], "1.png": [bad, good], "2.png": [bad, good]}
    files = {name: drawn(7) for name in boxes}
    put(tmp_path / "data/raw", {**files, "boxes.json": coco(boxes)})
    found, report = prepared(tmp_path)
    assert found == {"1.png": [HALF]}
    assert [one["source"] for one in report["conflicts"]] == ["set.zip!0.png"]
    assert [one["source"] for one in report["duplicates"]] == ["set.zip!2.png"]
    assert [one["source"] for one in report["left_out"]] == ["set.zip!boxes.json, annotation 4"]


def test_a_label_file_that_cannot_be_read_makes_no_background(tmp_path: Path) -> None:
    label = b"0 0.5 0.5 0.5 0.5"
    files = {"a.png": drawn(1), "a.txt": label, "b.png": drawn(2), "b.txt": label + b" "}
    archive = put(tmp_path / "data/raw", {**files, "classes.txt": b"cat"})
    archive.write_bytes(archive.read_bytes().replace(label + b" ", label + b"\t"))  # bad CRC
    found, report = prepared(tmp_path)
    assert found == {"a.png": [HALF]}
    (refused,) = report["refused"]
    assert refused["source"] == "set.zip!b.png"
    assert "damaged in the archive" in refused["reason"]


def test_a_file_of_another_kind_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    """As a note of the same name beside a picture and its XML."""
    files = {"a.png": drawn(1), "a.xml": voc(voc_object(20, 15, 60, 45)), "a.txt": b"a note"}
    archive = put(tmp_path / "data/raw", files)
    archive.write_bytes(archive.read_bytes().replace(b"a note", b"a nope"))  # bad CRC
    found, _ = prepared(tmp_path)
    assert found == {"a.png": [HALF]}


@pytest.mark.parametrize("name", ["classes.txt", "boxes.json"])
def test_a_label_file_of_many_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    whole = {**YOLO_LABEL, "classes.txt": b"cat"} if name == "classes.txt" else {name: GOOD_COCO}
    archive = put(tmp_path, {"a.png": drawn(1), **whole})
    archive.write_bytes(archive.read_bytes().replace(b"cat", b"cow"))
    with pytest.raises(UserError, match=rf"{name}: damaged in the archive"):
        read_labels([archive], ANY)


def test_names_that_look_like_something_else(tmp_path: Path) -> None:
    """A mark of sources, the first bytes of a picture, another way to write an accent."""
    label = b"0 0.5 0.5 0.5 0.5"
    files = {"a!b.png": drawn(1), "a!b.txt": label, "b.png": drawn(2), "classes.txt": b"BMW\n"}
    found = read_labels([put(tmp_path, files)], ANY)
    ((source, (labels, _)),) = found.pictures.items()
    assert (source, labels.boxes[0].name) == ("set.zip!a!b.png", "BMW")
    boxes = coco({"\u00e9.png": [("cat", [20, 15, 40, 30])]})
    files = {"e\u0301.png": drawn(1), "boxes.json": boxes}
    assert len(read_labels([put(tmp_path, files)], ANY).pictures) == 1
    with pytest.raises(UserError, match="'!' in the name of an archive"):
        read_labels([put(tmp_path, files, "Wow!.zip")], ANY)


def test_labels_are_of_the_pictures_in_their_own_archive(tmp_path: Path) -> None:
    for number in (1, 2):
        label = f"0 0.5 0.5 0.5 0.{number}".encode()
        files = {"images/1.png": drawn(number), "labels/1.txt": label, "classes.txt": b"cat"}
        put(tmp_path, files, f"p{number}.zip")
    found = read_labels(sorted(tmp_path.iterdir()), ANY).pictures
    assert {source: labels.source for source, (labels, _) in found.items()} == {
        f"p{n}.zip!images/1.png": f"p{n}.zip!labels/1.txt" for n in (1, 2)
    }


def test_frames_of_another_scale_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"a.png": (80, 60), "b.png": (81, 61), "c.png": (90, 60)}
    files = {}
    for number, (name, size) in enumerate(sizes.items()):
        content = io.BytesIO()
        Image.open(io.BytesIO(drawn(number))).resize(size).save(content, "PNG")
        files[name] = content.getvalue()
    lines = "\n".join(f"./set/{name},20,15,60,45,cat" for name in sizes)
    put(tmp_path / "data/raw", {**files, "annotation.txt": lines.encode()})
    layout = BoxLayout("kaggle", [Side("")], "", OtherScale(60, [(90, 60)]))
    found, report = prepared(tmp_path, layout, max_refused=0)
    assert list(found) == ["b.png", "c.png"]
    reason = "of another scale than its picture of 80x60"
    assert report["left_out"] == [{"source": "set.zip!annotation.txt, line 1", "reason": reason}]
    assert [one["source"] for one in report["unboxed"]] == ["set.zip!a.png"]
    told = " ".join(capsys.readouterr().err.split())
    assert "1 boxes are left out because they are of another scale" in told


def test_boxes_are_those_of_the_picture_that_people_see(tmp_path: Path) -> None:
    """A camera that was held upright writes the turn beside the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.open(io.BytesIO(drawn(1))).save(content, "JPEG", exif=exif, quality=95)
    turned = Image.open(io.BytesIO(content.getvalue())).size
    assert turned == (80, 60)
    boxes = json.loads(coco({"a.jpg": [("cat", [15, 20, 30, 40])]}))
    boxes["images"][0] |= {"width": 60, "height": 80}
    files = {"a.jpg": content.getvalue(), "boxes.json": json.dumps(boxes).encode()}
    put(tmp_path / "data/raw", files)
    found, _ = prepared(tmp_path, shorter_side=60)
    assert found == {"a.jpg": [["cat", 15.0, 20.0, 45.0, 60.0]]}
    paths = Paths.within(tmp_path)
    with paths.index.open() as file:
        image = ImageStore(paths.images)[next(csv.DictReader(file))["id"]]
    red = (image[..., 0] > 200) & (image[..., 1] < 90) & (image[..., 2] < 90)
    inside = np.zeros_like(red)
    inside[20:60, 15:45] = True
    assert (red & inside).sum() > 0.9 * inside.sum()


COORDINATES = st.one_of(
    st.floats(-50, 150, width=32),
    st.sampled_from([0.0, 40.0, 80.0, 60.0, 1e9, math.nan, math.inf, -math.inf]),
)
CORNERS = st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES)


def written(kind: str, boxes: list[tuple[float, float, float, float]]) -> dict[str, bytes]:
    """Boxes of `a.png` in one of the formats."""
    if kind == "coco":
        spans = [("cat", [x1, y1, x2 - x1, y2 - y1]) for x1, y1, x2, y2 in boxes]
        return {"boxes.json": coco({"a.png": spans})}
    if kind == "voc":
        return {"a.xml": voc("".join(voc_object(*corners) for corners in boxes))}
    if kind == "kaggle":
        lines = [",".join(["a.png", *map(repr, corners), "cat"]) for corners in boxes]
        return {"annotation.txt": "\n".join(lines).encode()}
    shares = [
        ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        for x1, y1, x2, y2 in boxes
    ]
    lines = [" ".join(["0", *map(repr, one)]) for one in shares]
    return {"a.txt": "\n".join(lines).encode(), "classes.txt": b"cat"}


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "kaggle"])
@settings(max_examples=40, deadline=None)
@given(boxes=st.lists(CORNERS, min_size=1, max_size=6), side=st.integers(8, 200))
@example(boxes=[(60.0, 45.0, 20.0, 15.0), (-5.0, 5.0, 90.0, 50.0)], side=30)
def test_no_box_is_lost_from_a_file_to_the_prepared_picture_and_back(
    kind: str, boxes: list[tuple[float, float, float, float]], side: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = put(Path(folder), {"a.png": b"\x89PNG", **written(kind, boxes)})
        layout = BoxLayout(cast("Any", kind), [Side("")])
        ((labels, _),) = read_labels([archive], layout).pictures.values()
    assert len(labels.boxes) + len(labels.refused) == len(boxes)
    refused = {one["source"] for one in labels.refused}
    size = max(1, round(WIDTH * side / HEIGHT)), side
    of_file = iter(labels.boxes)
    for number, corners in enumerate(boxes, 1):
        ends = (f"annotation {number}", f"object {number}", f"line {number}")
        if any(source.endswith(ends) for source in refused):
            x, y = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
            assert kind == "yolo"
            assert not (0 < x < WIDTH and 0 < y < HEIGHT)
            continue
        x1, x2 = (min(max(x, 0), WIDTH) for x in sorted(corners[::2]))
        y1, y2 = (min(max(y, 0), HEIGHT) for y in sorted(corners[1::2]))
        hundredth = 0.01 * max(1, HEIGHT / side)
        kept = carried_or_not(next(of_file), (WIDTH, HEIGHT), size, shares=labels.shares)
        if kept is None:
            pixel = max(WIDTH / size[0], HEIGHT / size[1])
            thin = min(x2 - x1, y2 - y1) < pixel + 2 * hundredth
            assert thin or not all(map(math.isfinite, corners))
        else:
            back = np.array(kept) * ((WIDTH / size[0], HEIGHT / size[1]) * 2)
            near = hundredth + 1e-6 * max(map(abs, corners))
            np.testing.assert_allclose(back, (x1, y1, x2, y2), atol=near)
    assert next(of_file, None) is None


def carried_or_not(box: Box, *sizes: tuple[int, int], shares: bool) -> Corners | None:
    """In the prepared picture; none: refused with a reason."""
    try:
        return carried(box.corners, *sizes, shares=shares)
    except ValueError as error:
        if not str(error):
            raise
        return None


@pytest.mark.parametrize(
    ("cartoon", "frames", "classes", "crowd"),
    [(SEVERAL, 43, 10, {1, 2, 3, 4}), (RACCOONS, 50, 1, {1, 2})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_drawn_boxes_are_the_same_every_time_and_all_used(
    cartoon: Cartoon, frames: int, classes: int, crowd: set[int], tmp_path: Path
) -> None:
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    for archive in (raw / f"{cartoon.name}.zip", tmp_path / "again.zip"):
        draw_sample_boxes(archive, cartoon, frames / cartoon.frames)
    assert (tmp_path / "again.zip").read_bytes() == (raw / f"{cartoon.name}.zip").read_bytes()
    layout = layout_of(cartoon.name)
    found, report = prepared(tmp_path, layout, shorter_side=160, max_refused=0)
    assert len(found) == frames
    assert report["boxes_read"] == report["boxes"] > len(found)
    assert len(report["classes"]) == classes
    assert {len(boxes) for boxes in found.values()} == crowd
    page = Paths.within(tmp_path).data_page.read_text()
    assert page.count("<circle") == report["boxes"]


def test_the_page_shows_boxes_on_pictures(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "gray").save(content, "PNG")
    boxes = coco({"a.png": [("cat", [20, 15, 40, 30])]})
    put(tmp_path / "data/raw", {"a.png": content.getvalue(), "boxes.json": boxes})
    prepared(tmp_path)
    shown = re.search(r'jpeg;base64,([^"]+)', Paths.within(tmp_path).data_page.read_text())
    assert shown
    image = Image.open(io.BytesIO(base64.b64decode(shown[1])))
    red, green, _ = np.moveaxis(np.asarray(image).astype(int), 2, 0)
    rows, columns = np.nonzero(green - red > 30)
    edges = [columns.min() / image.width, rows.min() / image.height]
    edges += [columns.max() / image.width, rows.max() / image.height]
    np.testing.assert_allclose(edges, [0.25, 0.25, 0.75, 0.75], atol=0.03)


def documented(kind: str) -> str:
    """The first block of this language on the page about data."""
    page = (REPOSITORY / "docs/data.md").read_text().split("# Your own boxes")[1]
    found = re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


def write_coco(folder: Path, pictures: dict[str, bytes]) -> None:
    content = json.loads(documented("json"))
    image, annotation = content["images"][0], content["annotations"][0]
    content["images"] = [
        copy.copy(image) | {"id": n, "file_name": name} for n, name in enumerate(pictures)
    ]
    content["annotations"] = [
        copy.copy(annotation) | {"id": n, "image_id": n} for n in range(len(pictures))
    ]
    (folder / "boxes.json").write_text(json.dumps(content))


def write_voc(folder: Path, pictures: dict[str, bytes]) -> None:
    for name in pictures:
        (folder / name).with_suffix(".xml").write_text(documented("xml"))


def write_yolo(folder: Path, pictures: dict[str, bytes]) -> None:
    for name in pictures:
        (folder / name).with_suffix(".txt").write_text(documented("text"))
    (folder / "classes.txt").write_text("cat\n")


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_boxes_of_ones_own_are_read_as_the_page_about_data_says(
    write: Callable[[Path, dict[str, bytes]], None], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = {f"{number:02}.png": drawn(number) for number in range(20)}
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    write(folder, pictures)
    paths = Paths.within(tmp_path)
    stage.download(SourceParams(folder=str(folder)), paths.raw, tmp_path)
    layout = layout_of("boxes")
    found, report = prepared(tmp_path, layout, max_refused=0)
    assert found == {name: [HALF] for name in pictures}
    assert report["unmatched"] == 0


@pytest.mark.slow
def test_the_commands_of_the_page_about_data_read_boxes_of_ones_own(project: Project) -> None:
    folder = project.path / "data/pictures"
    folder.mkdir()
    pictures = {f"{number:02}.png": drawn(number) for number in range(20)}
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    write_yolo(folder, pictures)
    project.springfield("use", "boxes")
    for stage_name in ("download", "prepare", "split"):
        project.springfield(stage_name)
    report = json.loads((project.path / "reports/data.json").read_text())
    assert (report["images"], report["boxes"]) == (20, 20)
    assert (project.path / "data/split.csv").read_text().count("test") == 3


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data/simpsons").is_dir(), reason="no mirror")
def test_the_boxes_of_the_simpsons_all_find_their_frames(tmp_path: Path) -> None:
    for path in (SHARED / "data/simpsons").iterdir():
        (tmp_path / path.name).symlink_to(path)
    layout = layout_of("simpsons_boxes")
    found = read_labels(sorted(tmp_path.iterdir()), layout)
    assert (len(found.pictures), found.files, found.lost) == (7071, 20670, [])
    assert all(len(labels.boxes) == 1 for labels, _ in found.pictures.values())
