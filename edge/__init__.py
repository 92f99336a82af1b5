"""The edge streamer: at the site, from camera to event, with or without a control plane in reach."""

from __future__ import annotations

VERSION = "0.1.0"
