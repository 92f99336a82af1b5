from __future__ import annotations

import pytest

from faces.texts import acts, harmless


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\0", "\x7f", "\x9b31m", "\u202egpj.exe", "\u2066x", "\ud800"])
def test_what_acts_is_found_and_taken_out(text: str) -> None:
    assert acts(text)
    assert not acts(harmless(text))
    assert len(harmless(text)) == len(text)


@pytest.mark.parametrize(
    "text", ["", "Ann", "Zoë", "👩\u200d🚒", "נועה", "می\u200cخواهم", "<b>", "=1+1", "O'Neill", "\u200eAnn"]
)
def test_what_people_are_called_is_left_alone(text: str) -> None:
    assert not acts(text)
    assert harmless(text) == text
