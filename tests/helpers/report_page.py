"""A report as a tree, for tests."""

import html.parser
import json
import re
from pathlib import Path
from xml.etree.ElementTree import Element

from bench import pages as report

VOID = {"meta", "img", "input", "br", "link", "hr", "wbr"}


class Page(html.parser.HTMLParser):
    """A page as a tree. Fails where tags do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.root = Element("page")
        self.open = [self.root]
        self.feed(self.text)
        assert self.open == [self.root], [element.tag for element in self.open]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, (self.open[-1].tag, tag, self.getpos())
        self.open.pop()

    def handle_data(self, data):
        above = self.open[-1]
        if len(above):
            above[-1].tail = (above[-1].tail or "") + data
        else:
            above.text = (above.text or "") + data

    def section(self, name: str) -> Element:
        found = self.root.find(f".//section[@id='{name}']")
        assert found is not None, name
        return found

    def has(self, name: str) -> bool:
        return self.root.find(f".//section[@id='{name}']") is not None

    @property
    def data(self) -> list[dict]:
        return json.loads(words(self.root.find(".//script[@id='data']")))

    def verdict(self, section: str = "s0-verdict") -> dict[str, list[Element]]:
        """Cells by method, as `name, posterior`."""
        rows = self.section(section).findall(".//table[@class='sortable verdict']/tbody/tr")
        return {f"{row[0].get('data-v')}, {row[1].get('data-v')}": list(row) for row in rows}

    def headings(self, section: str = "s0-verdict") -> list[str]:
        return [words(th) for th in self.section(section).findall(".//table[@class='sortable verdict']/thead/tr/th")]


def words(element: Element | None) -> str:
    assert element is not None
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def page_of(sweep: Path) -> Page:
    return Page(report.write(sweep))
