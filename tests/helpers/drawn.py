"""Figures that are there in no time, for tests of what holds them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PIL import Image

from bench import figures


@dataclass(frozen=True)
class Drawn:
    name: str
    heading: str
    of: str = "study"

    @property
    def caption(self) -> str:
        return f"What {self.name} shows."

    def png(self) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (40, 20), "white").save(buffer, "png")
        return buffer.getvalue()


KNOBS, SETTINGS = Drawn("knobs", "Against each knob"), Drawn("settings", "All settings")


def drawings(source: object, theme: str = "screen") -> Iterator[Drawn]:
    yield from (KNOBS, SETTINGS)


@pytest.fixture(scope="module", autouse=True)
def drawn() -> Iterator[None]:
    """What is imported into a module of tests draws nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "drawings", drawings, raising=False)
        known = (KNOBS, SETTINGS, Drawn("conditions", "Under every condition"))
        patch.setattr(figures, "FIGURES", known, raising=False)
        yield
