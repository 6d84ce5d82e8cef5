"""What the name and the first bytes of a file say, before anything decodes it."""

import re
import unicodedata
from pathlib import PurePath, PurePosixPath

NOT_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are not UTF-8."""
SYSTEM = {
    "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle",
    "Thumbs.db", "ehthumbs.db", "desktop.ini",
}  # fmt: skip
"""Files and folders that systems make on their own."""
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs", ".heic", ".heif", ".hif",
    ".jp2", ".j2k", ".jpx", ".jxl", ".ico", ".icns", ".tga", ".pcx", ".qoi", ".psd", ".svg",
    ".eps", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
}  # fmt: skip
"""Of pictures, also of such as are not read: what is called so is refused, never passed over."""
FIRST_BYTES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|P[1-6]\s|RIFF....WEBP"
    rb"|....ftyp(?:avi[fs]|hei[cfmsx]|hev[cmsx]|mi[af]1|msf1)",
    re.DOTALL,
)


def is_hidden(path: PurePath) -> bool:
    """Whether a part of the path is hidden, or one that a system made on its own."""
    return any(
        part in SYSTEM or (part.startswith(".") and part not in (".", "..")) for part in path.parts
    )


def looks_like_picture(name: str, start: bytes) -> bool:
    """Whether a file has the suffix of a picture, or its first 16 bytes."""
    return PurePath(name).suffix.lower() in SUFFIXES or bool(FIRST_BYTES.match(start))


def name_problem(name: str) -> str:
    """Why a name in an archive cannot be used; empty: it can."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        return "a path that leads outside the archive"
    if NOT_TEXT.search(name):
        return "a name that is not text"
    return ""


def as_text(name: str) -> str:
    """A name that can be written into a table."""
    return ascii(name) if NOT_TEXT.search(name) else name


def class_name(folder: str) -> str:
    """A folder's name with composed letters and no blanks around, as people see it."""
    return as_text(unicodedata.normalize("NFC", folder).strip() or folder)


def look(name: str) -> str:
    """The same for names that a person may take for one another."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
