"""Bad and odd files of every kind, in every archive: each one is used, or refused with a reason."""

import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from springfield.images.reading.archives import labelled
from springfield.images.reading.decoding import LARGE, decode
from springfield.images.reading.formats import Layout
from springfield.images.store import ImageStore
from springfield.machine.errors import UserError
from springfield.machine.paths import Paths
from springfield.sources.folder import pack
from springfield.stages.classification.prepare import PrepareParams

from . import stage
from .conftest import REPOSITORY

PARAMS = PrepareParams(shorter_side=64, max_refused=1.0)
LAYOUT = Layout(r"^set/(?P<class>[^/]+)/[^/]+$")


def pixels(seed: int, width: int = 80, height: int = 60) -> Image.Image:
    """A smooth picture unlike those of other seeds."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int = 40_000) -> bytes:
    """A PNG of so many pixels a side in a few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(pixels(20 + orientation), "JPEG", exif=exif)


def sixteen_bit(seed: int, kind: str) -> bytes:
    grey = np.asarray(pixels(seed).convert("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(grey), kind)


def animation(kind: str) -> bytes:
    return saved(pixels(1), kind, save_all=True, append_images=[pixels(2), pixels(3)])


JPEG, PNG = saved(pixels(4), "JPEG"), saved(pixels(5), "PNG")

GOOD: dict[str, bytes] = {
    "plain.jpg": saved(pixels(6), "JPEG"),
    "progressive.jpg": saved(pixels(7), "JPEG", progressive=True),
    "cmyk.jpg": saved(pixels(8).convert("CMYK"), "JPEG"),
    "grey.jpg": saved(pixels(9).convert("L"), "JPEG"),
    "grey.png": saved(pixels(10).convert("L"), "PNG"),
    "grey-alpha.png": saved(pixels(11).convert("LA"), "PNG"),
    "alpha.png": saved(pixels(12).convert("RGBA"), "PNG"),
    "palette.png": saved(pixels(13).convert("P"), "PNG"),
    "palette.gif": saved(pixels(14).convert("P"), "GIF"),
    "one-bit.png": saved(pixels(15).convert("1"), "PNG"),
    "sixteen-bit.png": sixteen_bit(16, "PNG"),
    "sixteen-bit.tif": sixteen_bit(17, "TIFF"),
    "webp.webp": saved(pixels(18), "WEBP"),
    "bitmap.bmp": saved(pixels(19), "BMP"),
    "png-inside.jpg": saved(pixels(30), "PNG"),
    "jpeg-inside.png": saved(pixels(31), "JPEG"),
    "no-suffix": saved(pixels(32), "JPEG"),
    "UPPER.JPG": saved(pixels(33), "JPEG"),
    "two words.jpg": saved(pixels(34), "JPEG"),
    "-dash.jpg": saved(pixels(35), "JPEG"),
    "Лиза 山.jpg": saved(pixels(36), "JPEG"),
    "no\u00a0break.jpg": saved(pixels(37), "JPEG"),
    "comma,quote\".jpg": saved(pixels(38), "JPEG"),
    "a&b<c>.jpg": saved(pixels(39), "JPEG"),
    "tiny.png": saved(pixels(40, 1, 1), "PNG"),
    "wide.png": saved(pixels(41, 900, 3), "PNG"),
    "tall.png": saved(pixels(42, 2, 700), "PNG"),
    "large.jpg": saved(pixels(43, 3000, 2000), "JPEG"),
    **{f"turned-{turn}.jpg": rotated(turn) for turn in range(1, 9)},
}  # fmt: skip
BAD: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "an empty file"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "a page, not a picture"),
    "page-too.png": (b"\n  <html><head></head></html>", "a page, not a picture"),
    "drawing.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a page, not a picture"),
    "xml.jpg": (b"<?xml version='1.0'?><Error/>", "a page, not a picture"),
    "text.jpg": (b"no picture here\n", "not a picture of a known format"),
    "<b>&.jpg": (b"markup in a name", "not a picture of a known format"),
    "answer.jpg": (b'{"error": 404}', "not a picture of a known format"),
    "zeros.jpg": (bytes(5000), "not a picture of a known format"),
    "noise.png": (np.random.default_rng(0).bytes(3000), "not a picture of a known format"),
    "program.jpg": (b"\x7fELF\x02\x01\x01" + bytes(200), "not a picture of a known format"),
    "archive.jpg": (b"PK\x05\x06" + bytes(18), "not a picture of a known format"),
    "model.png": (b"\x80\x04}\x94.", "not a picture of a known format"),
    "cut-short.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "cut-to-header.jpg": (JPEG[:200], ""),
    "cut-to-magic.jpg": (JPEG[:3], ""),
    "cut-short.png": (PNG[: len(PNG) // 2], ""),
    "cut-to-header.png": (PNG[:40], ""),
    "flipped.png": (PNG[:60] + bytes(40) + PNG[100:], ""),
    "bomb.png": (bomb(), "decompression bomb"),
    "small-bomb.png": (bomb(17_000), "decompression bomb"),
    "animation.gif": (animation("GIF"), "an animation of 3 frames"),
    "animation.webp": (animation("WEBP"), "an animation of 3 frames"),
    "animation.png": (animation("PNG"), "an animation of 3 frames"),
    "pages.tif": (animation("TIFF"), "3 pages"),
    "telephone.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC, which is not read"),
    "drawing.eps": (saved(pixels(3), "EPS"), "not a picture of a known format"),
    "float.tif": (saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), "floating-point"),
}
ESCAPES = ("../outside.jpg", "set/a/../../../outside.jpg", "/outside.jpg", "..\\outside.jpg")


def into_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
        link = zipfile.ZipInfo("set/a/link.jpg")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")


def into_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(f"set/a/{name}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)


def into_folder(path: Path, files: dict[str, bytes]) -> None:
    """As download packs a user's folder, with a link in it."""
    folder = path.parents[2] / "pictures"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "set/a/link.jpg").symlink_to("/etc/passwd")
    pack(folder, path)


def two_classes() -> dict[str, bytes]:
    places = [f"set/{name}/{n}.png" for name in "ab" for n in range(3)]
    return {place: saved(pixels(100 + n), "PNG") for n, place in enumerate(places)}


ARCHIVES: dict[str, Callable[[Path, dict[str, bytes]], None]] = {
    "set.zip": into_zip,
    "set.tar": into_tar,
    "set.tar.gz": into_tar,
    "packed.zip": into_folder,
}


def prepare_in(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    paths = Paths.within(folder)
    stage.prepare(PARAMS, [LAYOUT], paths)
    index = pd.read_csv(paths.index, keep_default_na=False)
    return index, json.loads(paths.data_report.read_text())


def written(folder: Path) -> set[str]:
    """All that is in a folder, but for the archive and the user's pictures."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if not name.startswith(("data/raw/", "pictures"))}


WRITTEN = {
    "data", "data/raw", "data/prepared", "data/prepared/images.arrow", "data/prepared/index.csv",
    "reports", "reports/data.json", "reports/data.html",
}  # fmt: skip


@pytest.mark.parametrize("archive", ARCHIVES)
def test_every_file_is_used_or_refused_with_a_reason(archive: str, tmp_path: Path) -> None:
    assert len(GOOD) + len(BAD) >= 60
    files = {f"set/{'ab'[i % 2]}/{name}": content for i, (name, content) in enumerate(GOOD.items())}
    files |= {f"set/a/{name}": content for name, (content, _) in BAD.items()}
    files["set/b/zz-again.jpg"] = files["set/a/plain.jpg"]  # under two classes
    files["set/a/zz-again.jpg"] = files["set/a/plain.jpg"]  # twice in one
    files |= {"set/a/.hidden.jpg": JPEG, "notes.txt": b"text", "set/a/deeper/in.jpg": JPEG}
    escapes = () if archive == "packed.zip" else ESCAPES
    files |= dict.fromkeys(escapes, JPEG)
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    ARCHIVES[archive](raw / archive, files)

    index, report = prepare_in(tmp_path)
    used = {source.split("!")[1].split("/", 2)[2] for source in index["source"]}
    assert used == set(GOOD)
    refused = {
        entry["source"].split("!")[1].split("/")[-1]: entry["reason"] for entry in report["refused"]
    }
    for name, (_, reason) in BAD.items():
        assert reason in refused[name], (name, refused[name])
        assert refused[name]
    links = ["link"] if archive.endswith(".zip") else ["link", "hard"]
    assert set(refused) - set(BAD) <= {f"{link}.jpg" for link in links} | {"outside.jpg"}
    for link in links:
        assert refused[f"{link}.jpg"] == "a link"
    total = len(files) + len(links)
    listed = sum(len(report[kind]) for kind in ("refused", "conflicts", "duplicates"))
    assert report["files"] == total
    assert report["images"] + listed + report["unmatched"] == total
    assert [entry["source"].split("/")[-2] for entry in report["conflicts"]] == ["b"]
    assert len(report["duplicates"]) == 1
    images = ImageStore(tmp_path / "data/prepared/images.arrow")
    assert all(images[image_id].shape[2] == 3 for image_id in index["id"])
    assert {path.name for path in raw.iterdir()} == {archive}
    assert written(tmp_path) == WRITTEN
    page = (tmp_path / "reports/data.html").read_text()
    assert "&lt;b&gt;&amp;.jpg" in page
    assert "<b>&" not in page
    assert "an animation of 3 frames" in page


def test_what_people_see_is_kept() -> None:
    upright = np.asarray(pixels(50)).astype(int)
    for turn, undo in ((3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)):
        exif = Image.Exif()
        exif[0x0112] = turn
        content = saved(pixels(50).transpose(undo), "JPEG", exif=exif, quality=95)
        assert np.abs(np.asarray(decode(content)) - upright).mean() < 4
    deep = np.asarray(decode(sixteen_bit(51, "PNG")))[..., 0].astype(int)
    assert np.abs(deep - np.asarray(pixels(51).convert("L"))).max() <= 1
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (np.asarray(decode(saved(clear, "PNG"))) == 255).all()
    cmyk = np.asarray(decode(saved(pixels(52).convert("CMYK"), "JPEG", quality=95))).astype(int)
    assert np.abs(cmyk - np.asarray(pixels(52))).mean() < 6


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from([JPEG, PNG, GOOD["webp.webp"], GOOD["palette.gif"], GOOD["bitmap.bmp"]]),
    changes=st.lists(
        st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=8)), max_size=6
    ),
    length=st.integers(0, 6000),
)
def test_no_bytes_crash_the_decoder(
    start: bytes, changes: list[tuple[int, bytes]], length: int
) -> None:
    content = bytearray(start)
    for place, new in changes:
        place %= len(content)
        content[place : place + len(new)] = new
    with suppress(ValueError):  # any other exception is a failure
        assert decode(bytes(content[:length])).mode == "RGB"


NAMES = st.text(st.characters(exclude_characters="\x00"), min_size=1, max_size=20)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=12, unique=True),
    kind=st.sampled_from(["set.zip", "set.tar", "set.tar.gz"]),
)
def test_no_name_is_lost(
    names: list[tuple[str, str]], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("names")
    raw = folder / "data/raw"
    raw.mkdir(parents=True)
    files = {
        f"set/{label}/{name}": saved(pixels(n), "PNG") for n, (label, name) in enumerate(names)
    }
    links = 1 if kind == "set.zip" else 2
    entries = sum(not name.endswith("/") for name in files) + links  # others name directories
    try:
        ARCHIVES[kind](raw / kind, files)
    except (UnicodeEncodeError, ValueError):
        return  # no archive holds such a name
    try:
        index, report = prepare_in(folder)
    except UserError:  # one class only, say: told, not lost
        return
    listed = sum(len(report[kind]) for kind in ("refused", "conflicts", "duplicates"))
    assert len(index) + listed + report["unmatched"] == report["files"] == entries
    assert {path.name for path in raw.iterdir()} == {kind}
    assert written(folder) == WRITTEN


def test_no_name_has_a_picture_opened_by_another_program(tmp_path: Path) -> None:
    """EPS is what Pillow has Ghostscript draw."""
    started = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    (tmp_path / "cat.jpg").write_bytes(saved(pixels(3), "EPS"))
    code = (
        "import sys; from springfield.images.reading.decoding import decode; "
        "decode(open(sys.argv[1], 'rb').read())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "cat.jpg"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ValueError: not a picture of a known format" in result.stderr
    assert not started.exists()


def lying_zip(path: Path) -> None:
    """With an entry of 100 MB that is said to have 100 bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("set/a/bomb.png", bytes(100 << 20))
    size = struct.pack("<I", 100 << 20)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 100)))


def bzip2_zip(path: Path) -> None:
    """The same, by a method that cannot be bounded."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as zipped:
        zipped.writestr("set/a/bomb.png", bytes(100 << 20))


def long_header(path: Path) -> None:
    """With a name of 100 MB."""
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("long")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 100 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("set.zip", lying_zip, "damaged in the archive"),
        ("set.zip", bzip2_zip, "not packed by deflate"),
        ("set.tar.gz", long_header, "neither a zip nor a tar"),
    ],
)
def test_no_more_is_unpacked_than_is_claimed(
    tmp_path: Path, name: str, write: Callable[[Path], None], told: str
) -> None:
    write(tmp_path / name)
    tracemalloc.start()
    try:
        problems = [item.problem for item in labelled(tmp_path / name, [LAYOUT]) if item]
    except UserError as error:
        problems = [str(error)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told in problems[0]
    assert peak < 20 << 20


def test_a_strip_of_30_million_pixels_takes_no_gigabyte(tmp_path: Path) -> None:
    """Scaling so long a side took 1.4 GB of coefficients; here a process gets 1 GB in all."""
    strip = saved(Image.new("L", (30_000_000, 1)), "PNG")
    files = two_classes()
    (tmp_path / "data/raw").mkdir(parents=True)
    into_zip(tmp_path / "data/raw/set.zip", {**files, "set/a/strip.png": strip})
    code = "from tests.test_corpus import *; prepare_in(Path(sys.argv[1]))"
    limited = f"ulimit -d {1 << 20}; exec {sys.executable} -c '{code}' {tmp_path}"
    subprocess.run(
        ["bash", "-c", limited], check=True, cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    index = pd.read_csv(tmp_path / "data/prepared/index.csv")
    row = index[index["source"].str.endswith("strip.png")].iloc[0]
    assert (row["width"], row["height"]) == (30_000_000, 1)
    images = ImageStore(tmp_path / "data/prepared/images.arrow")
    assert images[row["id"]].shape == (1, 16 * PARAMS.shorter_side, 3)


@pytest.mark.alone
def test_a_tar_is_read_once_whatever_the_order(tmp_path: Path) -> None:
    """Going back in a gzip means to unpack all before again: 20 times as long for 150 files."""
    noise = np.random.default_rng(0)
    files = {f"set/a/{n:03}.png": noise.bytes(30_000) for n in range(150)}
    seconds = []
    for name, order in (("sorted", sorted(files)), ("other", sorted(files, reverse=True))):
        path = tmp_path / f"{name}.tar.gz"
        into_tar(path, {file: files[file] for file in order})
        started = time.perf_counter()
        contents = {i.path: i.content for i in labelled(path, [LAYOUT]) if i and i.content}
        seconds.append(time.perf_counter() - started)
        assert contents == files
    assert seconds[1] < 5 * seconds[0]


def test_a_tar_with_a_damaged_header_is_no_smaller_one(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    into_tar(path, {f"set/a/{n}.png": JPEG for n in range(40)})
    content = bytearray(path.read_bytes())
    header = content.index(b"set/a/30.png")
    content[header : header + 3] = b"SET"  # its checksum is another one now
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"set.tar: damaged archive"):
        list(labelled(path, [LAYOUT]))


HIDDEN = (
    "set/a/.ipynb_checkpoints/1-checkpoint.png", "set/.git/objects/1.png", "set/a/._1.png",
    "__MACOSX/set/a/1.png", "set/@eaDir/1.png", "set/a/Thumbs.db", "set/a/desktop.ini",
)  # fmt: skip


@pytest.mark.parametrize("archive", ["set.zip", "set.tar.gz", "packed.zip"])
def test_folders_that_are_nobodys_class_are_passed_over(archive: str, tmp_path: Path) -> None:
    files = two_classes()
    (tmp_path / "data/raw").mkdir(parents=True)
    hidden = dict.fromkeys(HIDDEN, files["set/a/0.png"])
    if archive == "set.zip":
        hidden |= {"set/.empty/": b""}
    ARCHIVES[archive](tmp_path / "data/raw" / archive, {**hidden, **files})
    paths = Paths.within(tmp_path)
    stage.prepare(PARAMS, [Layout(r"(?P<class>[^/]+)/[^/]+$")], paths)
    report = json.loads(paths.data_report.read_text())
    assert [row["class"] for row in report["classes"]] == ["a", "b"]
    assert (report["images"], report["conflicts"], report["duplicates"]) == (6, [], [])
    assert report["unmatched"] == len(HIDDEN)


def test_what_is_plainly_no_picture_is_listed_and_not_refused(tmp_path: Path) -> None:
    files = two_classes()
    others = {"set/a/table.csv": b"a,b", "set/b/1.xmp": b"<x/>", "set/README": b"read me"}
    (tmp_path / "data/raw").mkdir(parents=True)
    into_folder(tmp_path / "data/raw/set.zip", {**files, **others})
    paths = Paths.within(tmp_path)
    strict = PrepareParams(shorter_side=64, max_refused=0.2)
    stage.prepare(strict, [Layout(r"(?P<class>[^/]+)/[^/]+$")], paths)
    report = json.loads(paths.data_report.read_text())
    listed = {entry["source"].split("!")[1]: entry["reason"] for entry in report["no_pictures"]}
    assert listed == dict.fromkeys(others, "not a picture")
    assert [entry["source"] for entry in report["refused"]] == ["set.zip!set/a/link.jpg"]
    assert report["files"] == len(files) + len(others) + 1
    assert "table.csv" in paths.data_page.read_text()


def test_a_class_of_no_pictures_is_named(tmp_path: Path) -> None:
    files = {f"set/{name}/1.png": saved(pixels(ord(name)), "PNG") for name in "ab"}
    (tmp_path / "data/raw").mkdir(parents=True)
    into_zip(tmp_path / "data/raw/set.zip", {**files, "set/c/notes.txt": b"", "set/c/.x.png": JPEG})
    with pytest.raises(UserError, match=r"the class folder 'set/c' is empty or holds no picture"):
        prepare_in(tmp_path)


def test_names_of_other_systems(tmp_path: Path) -> None:
    """Backslashes, UTF-8 that is not said to be, composed and decomposed letters, blanks."""
    names = ["set\\a\\1.png", "set\\a\\2.png", "set/Lise\u0301/1.png", "set/Lis\u00e9/2.png",
             "set/b /1.png", "set/b/2.png", "set/B/3.png"]  # fmt: skip
    path = tmp_path / "data/raw/set.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as zipped:
        for n, name in enumerate(names):
            zipped.writestr(name, saved(pixels(n), "PNG"))
    unsaid = path.read_bytes().replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00")
    for content in (path.read_bytes(), unsaid):
        path.write_bytes(content)
        index, report = prepare_in(tmp_path)
        assert index["class"].value_counts().to_dict() == {"a": 2, "Lis\u00e9": 2, "b": 2, "B": 1}
        assert report["notes"] == ["the classes 'B' and 'b' look the same; are they one?"]


def test_names_of_an_old_code_page_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data/raw/set.zip"
    path.parent.mkdir(parents=True)
    into_zip(path, {f"set/{name}/1.png": saved(pixels(ord(name)), "PNG") for name in "aq"})
    path.write_bytes(path.read_bytes().replace(b"set/q", b"set/\x8e"))  # a letter of page 866
    _, report = prepare_in(tmp_path)
    assert "set.zip: 1 names are in an old code page" in report["notes"][0]
    assert "old code page" in " ".join(capsys.readouterr().err.split())
    assert "old code page" in (tmp_path / "reports/data.html").read_text()


def test_a_name_of_an_old_code_page_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data/raw/set.zip"
    path.parent.mkdir(parents=True)
    names = ("a/1.png", "a/qq.png", "b/1.png")
    into_zip(path, {f"set/{name}": saved(pixels(n), "PNG") for n, name in enumerate(names)})
    path.write_bytes(path.read_bytes().replace(b"a/qq", b"a/\x8e\x1b"))
    params = PrepareParams(shorter_side=320, max_refused=0.5)
    stage.prepare(params, [LAYOUT], Paths.within(tmp_path))
    told = capsys.readouterr().err
    assert "old code page" in " ".join(told.split())
    assert "\x1b" not in told


def pictures_in(folder: Path) -> Path:
    """Two classes of pictures, as a person has them."""
    for name in "ab":
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_bytes(saved(pixels(ord(name)), "PNG"))
    return folder


def test_a_class_folder_that_is_a_link_is_followed_inside_and_named_outside(tmp_path: Path) -> None:
    folder, packed = pictures_in(tmp_path / "pictures"), tmp_path / "packed.zip"
    (folder / "c").symlink_to("a")
    pack(folder, packed)
    assert "c/1.png" in zipfile.ZipFile(packed).namelist()
    for target in (tmp_path, folder, Path("..")):
        (folder / "d").symlink_to(target)
        with pytest.raises(UserError, match=r"/d' is a link to /.*"):
            pack(folder, packed)
        (folder / "d").unlink()


@pytest.mark.parametrize("kind", ["set.zip", "set.tar"])
def test_a_link_among_the_class_folders_of_an_archive_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data/raw" / kind
    path.parent.mkdir(parents=True)
    files = {f"set/{name}/1.png": saved(pixels(ord(name)), "PNG") for name in "ab"}
    ARCHIVES[kind](path, files)
    if kind == "set.tar":
        with tarfile.open(path, "a") as tar:
            info = tarfile.TarInfo("set/c")
            info.type, info.linkname = tarfile.SYMTYPE, "a"
            tar.addfile(info)
    else:
        link = zipfile.ZipInfo("set/c")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, "a") as zipped:
            zipped.writestr(link, "a")
    with pytest.raises(UserError, match=r"'set/c' is a link beside the class folders"):
        prepare_in(tmp_path)


def test_what_a_zip_cannot_hold_is_named(tmp_path: Path) -> None:
    folder, packed = pictures_in(tmp_path / "pictures"), tmp_path / "packed.zip"
    for name, told in (
        (b"a/\xff.png", r"a/\\udcff.png': its name is no UTF-8"), (b"a/b\\c.png", "a backslash")
    ):  # fmt: skip
        file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        file.write_bytes(JPEG)
        with pytest.raises(UserError, match=told):
            pack(folder, packed)
        file.unlink()
    os.mkfifo(folder / "a/pipe")
    with pytest.raises(UserError, match="a/pipe': neither a file nor a folder"):
        pack(folder, packed)


def test_a_large_file_beside_the_pictures_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one above 2 GiB is, which zipfile wants to be told of."""
    folder, packed = pictures_in(tmp_path / "pictures"), tmp_path / "packed.zip"
    (folder / "a/film.mp4").write_bytes(bytes(60_000))
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50_000)
    pack(folder, packed)
    with zipfile.ZipFile(packed) as zipped:
        assert zipped.testzip() is None
        assert zipped.getinfo("a/film.mp4").file_size == 60_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_photograph_of_108_megapixels_is_one(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(pixels(60).resize((12000, 9000)), kind, exif=exif)
    image = decode(content)
    assert image.width * image.height <= LARGE
    assert image.info["size"] == (9000, 12000)
    seen = np.asarray(image.rotate(90, expand=True).resize((80, 60))).astype(int)
    assert np.abs(seen - np.asarray(pixels(60))).mean() < 2


@pytest.mark.slow
def test_a_large_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    """Whole it takes 640 MB before it is made smaller, so 210."""
    path = tmp_path / "large.jpg"
    path.write_bytes(saved(pixels(61).resize((12000, 9000)), "JPEG"))
    code = (
        "import re, sys; from springfield.images.reading.decoding import decode\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "most = lambda: int(re.search('VmHWM:\\\\s+([0-9]+)', status())[1])\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "before = most(); decode(content); print(most() - before)"
    )
    command = [sys.executable, "-c", code, str(path)]
    taken = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(taken) < 400_000  # kB
