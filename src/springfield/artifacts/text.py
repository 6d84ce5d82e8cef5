"""Names that others chose, of files and classes, made harmless for where they are shown."""

import html
import re

from rich.markup import escape

STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, or what changes the order of its text."""
MARKDOWN = re.compile(r"([\\`*\[\]|~]|(?<=:)/|(?<=www)\.)")
"""Formatting, cells, links; `_` inside words is none."""


def printable(text: str) -> str:
    """What would steer a terminal is written as an escape."""
    return STEERS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def terminal(text: str) -> str:
    """For rich, which prints it as it is."""
    return escape(printable(text))


def markdown(text: str) -> str:
    """For Markdown, also in a table: no HTML, no formatting, no link."""
    return MARKDOWN.sub(r"\\\1", html.escape(printable(text), quote=False))
