"""The pages' examples print what the pages say."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from fastloss import parallelism

PAGES = ["curves.md", "large.md", "threads.md"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page, monkeypatch):
    monkeypatch.setattr(parallelism, "_everywhere", None)  # which threads.md changes
    text = (Path(__file__).parents[1] / "docs" / page).read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), {})
    assert printed.getvalue().splitlines() == re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
