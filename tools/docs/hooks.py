"""What MkDocs runs on every page: long names in the cells of tables may break behind their separators."""

import re

CELL = re.compile(r"<t[dh][ >].*?</t[dh]>", re.DOTALL)
CODE = re.compile(r"(<code>)([^<]*)(</code>)")
SEPARATOR = re.compile(r"(?<=[/.:,(=_])(?=\w)")


def on_page_content(html, **_):
    def in_cell(cell):
        return CODE.sub(lambda code: code[1] + SEPARATOR.sub("<wbr>", code[2]) + code[3], cell[0])

    return CELL.sub(in_cell, html)
