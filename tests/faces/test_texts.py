from __future__ import annotations

import pytest

from faces.errors import Invalid
from faces.texts import acts, attributes, harmless


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


@pytest.mark.parametrize("value", [{"n": 2**64}, {"n": "x" * 16_384}, {"n": {"m": -(2**63) - 1}}])
def test_attributes_that_no_copy_can_hold_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="attributes"):
        attributes(value)


def test_attributes_are_anything_else() -> None:
    value = {"a": [1, {"b": None}], "c": 1.5}
    assert attributes(value) == value


def test_attributes_are_nested_so_deep_and_no_deeper() -> None:
    value: dict[str, object] = {"innermost": 1}
    for _ in range(31):
        value = {"a": value}
    assert attributes(value) == value
    with pytest.raises(Invalid, match="deeper"):
        attributes({"a": value})
