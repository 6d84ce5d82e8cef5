"""Small pictures inside of HTML pages."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def thumbnail(image: NDArray[np.uint8], height: int) -> str:
    """An RGB image (H x W x 3, uint8), at most `height` pixels high, as a data URI of a JPEG."""
    picture = Image.fromarray(image)
    picture.thumbnail((16 * height, height))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
