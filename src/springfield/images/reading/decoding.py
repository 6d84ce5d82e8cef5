"""From the bytes of a picture to its pixels, the same way for training and for predicting."""

import io
import math
import warnings
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""As Pillow calls them; no other is tried, whatever a file is called: EPS starts Ghostscript."""
MAX_PIXELS = 2**28
"""No camera makes more today; what has more would fill the memory."""
LARGE = 2**25
"""Pixels of a picture that is made smaller while it is decoded."""
LONGEST = 2**15
"""Pixels of a side, past which it is made shorter: scaling a longer one takes gigabytes."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def decode(
    content: bytes, while_large: AbstractContextManager[object] | None = None
) -> Image.Image:
    """The picture that people see in these bytes, as RGB.

    Its EXIF orientation is applied, 16 bits become 8, what is transparent becomes white. One of
    more than `LARGE` pixels is averaged over blocks that leave fewer; `info["size"]` is its whole
    size.

    Args:
        content: of a file.
        while_large: entered while so large a picture is in memory.

    Raises:
        ValueError: there is none, or it cannot be read; the text says why.
    """
    if not content:
        raise ValueError("an empty file")
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        raise ValueError("a page, not a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                large = math.prod(opened.size) > LARGE and while_large
                with large or nullcontext():
                    return _seen(opened)
    except UnidentifiedImageError:
        known = "HEIC, which is not read; save it as JPEG" if content[4:8] == b"ftyp" else ""
        raise ValueError(known or "not a picture of a known format") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        megapixels = MAX_PIXELS // 10**6
        raise ValueError(f"more than {megapixels} megapixels, a decompression bomb") from None
    except Exception as error:  # decoders raise anything for bytes made to break them
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _seen(opened: Image.Image) -> Image.Image:
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":  # a camera's JPEG with a preview
        pages = opened.format == "TIFF"
        raise ValueError(f"{frames} pages" if pages else f"an animation of {frames} frames")
    width, height = opened.size
    if (factor := _factor(opened)) > 1:
        opened.draft("", (width // factor, height // factor))  # a JPEG is decoded smaller
    opened.load()
    drafted = opened.size
    ImageOps.exif_transpose(opened, in_place=True)
    if opened.size != drafted:
        width, height = height, width
    image = _as_rgb(opened)
    image.info["size"] = width, height  # also in place of a PNG's text of that name
    return image


def _factor(image: Image.Image) -> int:
    return math.ceil(math.sqrt(math.prod(image.size) / LARGE))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):
        image = image.convert("RGB")
    across, down = (max(_factor(image), math.ceil(side / LONGEST)) for side in image.size)
    if max(across, down) > 1:
        image = image.reduce((across, down))
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
