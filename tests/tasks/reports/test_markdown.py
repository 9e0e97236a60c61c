"""Names of files in Markdown: shown, and nothing more."""

from __future__ import annotations

import pytest

from tasks.reports.markdown import escape


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("bars.csv", "bars.csv"),
        ("x](http://evil)<b>.csv", r"x\]\(http://evil\)\<b\>.csv"),
        ("a\nb\r# c.csv", r"a b \# c.csv"),
        ("![](x)", r"\!\[\]\(x\)"),
        ("`code` **bold** _it_", r"\`code\` \*\*bold\*\* \_it\_"),
        ("safe\u202efdp.exe", "safe fdp.exe"),
        ("Größe 1.csv", "Größe 1.csv"),
    ],
)
def test_nothing_in_a_name_counts(name: str, shown: str) -> None:
    assert escape(name) == shown
