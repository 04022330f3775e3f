"""Tables that a command writes into a page, between two marks."""

import os
import platform

MACHINE = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


def table(header, rows, right):
    """Give the lines of a table whose last so many columns stand at the right."""
    sides = ["---"] * (len(header) - right) + ["---:"] * right
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return [lines[0], "|" + "|".join(sides) + "|", *lines[1:]]


def put(path, mark, lines):
    """Replace what stands between the marks."""
    before, _, after = path.read_text().partition(mark)
    rest = after.partition(mark)[2]
    path.write_text("\n".join([before + mark, *lines, mark + rest]))
