"""Names that matplotlib draws: letter by letter, in fonts that have their letters."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from matplotlib import font_manager, rc_context

from springfield.machine.progress import console

USUAL = "DejaVu Sans"
"""Matplotlib's own, which has the alphabets of Europe, Arabic and Hebrew."""
BOXES = "Last Resort High-Efficiency"
"""Matplotlib's too: boxes in place of letters."""
REGULAR = 400


@contextmanager
def lettering(names: Iterable[str]) -> Iterator[None]:
    """Within it dollars are no mathematics, and fonts are used that have all letters of `names`.

    Says which letters no font of this machine has.
    """
    lacking = {ord(letter) for letter in "".join(names) if letter.isprintable()}
    lacking -= _letters(font_manager.findfont(USUAL))
    families = [USUAL]
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: font.name):
        usable = font.style == "normal" and font.weight == REGULAR and font.name != BOXES
        if lacking and usable and (found := lacking & _letters(font.fname)):
            families.append(font.name)
            lacking -= found
    if lacking:
        console.print(
            f"no font of this machine has {' '.join(map(chr, sorted(lacking)))}: pictures show "
            "boxes instead; Noto has nearly all letters (apt-get install fonts-noto)",
            markup=False,
        )
    plain = rc_context({"text.parse_math": False, "font.family": families})
    with warnings.catch_warnings(), plain:
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _letters(path: str) -> set[int]:
    """The code points that a font can draw; none if it is made of bitmaps, or damaged."""
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):
        return set()
    return set(font.get_charmap()) if font.scalable else set()
