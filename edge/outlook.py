"""Whether a camera's picture shows anything: not while it is dark, nor while nothing in it ever moves."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from faces.face import Picture

DARK = 32
"""A value (0 to 255) up to which a pixel is dark: black, and the noise of a sensor that sees nothing."""

LIT_SHARE = 0.01
"""In a dark picture fewer of the pixels are brighter: at night a single lamp is something to see."""

DARK_S = 10.0
"""A picture is dark for so long before it is said."""

NOISE = 3
"""Values differ by no more in a picture that is coded again and again. A sensor's noise alone makes more."""

FROZEN_S = 60.0
"""A picture has not moved for so long before it is said."""


class View(StrEnum):
    """What there is to see."""

    CLEAR = "clear"
    DARK = "dark"
    FROZEN = "frozen"


Coarse: TypeAlias = npt.NDArray[np.int16]


def coarse(picture: Picture) -> Coarse:
    """Of a picture what its view is judged by: every eighth pixel's green."""
    return picture[::8, ::8, 1].astype(np.int16)


def is_dark(now: Coarse) -> bool:
    """Whether there is nothing to see in it."""
    return bool((now > DARK).mean() < LIT_SHARE)


def differ(now: Coarse, before: Coarse) -> bool:
    """Whether anything has moved between the two."""
    return now.shape != before.shape or bool(np.abs(now - before).max(initial=0) > NOISE)


class Outlook:
    """One camera's view, by the frames that are shown to it."""

    def __init__(self) -> None:
        self.view = View.CLEAR
        self._still: Coarse | None = None
        self._still_since = 0.0
        self._lit_at: float | None = None

    def changed(self, picture: Picture, moment: float) -> bool:
        """Take the picture of this moment, in seconds; tells whether the view is another with it."""
        now = coarse(picture)
        if self._lit_at is None or not is_dark(now):
            self._lit_at = moment
        if self._still is None or differ(now, self._still):
            self._still, self._still_since = now, moment
        before, self.view = self.view, self._judged(moment, self._lit_at)
        return self.view is not before

    def _judged(self, moment: float, lit_at: float) -> View:
        if moment - lit_at >= DARK_S:
            return View.DARK
        return View.FROZEN if moment - self._still_since >= FROZEN_S else View.CLEAR
