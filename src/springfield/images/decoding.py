"""From the bytes of a picture to its pixels, the same way for training and for predicting."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def decode(content: bytes) -> Image.Image:
    """The picture that people see in these bytes, as RGB.

    Its EXIF orientation is applied, 16 bits become 8, what is transparent becomes white.

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
            with Image.open(io.BytesIO(content)) as opened:
                frames = getattr(opened, "n_frames", 1)
                if frames > 1 and opened.format != "MPO":  # a camera's JPEG with a preview
                    raise ValueError(f"an animation of {frames} frames")
                opened.load()
                return _as_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError:
        raise ValueError("not a picture of a known format") from None
    except Exception as error:  # decoders raise anything for bytes made to break them
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
