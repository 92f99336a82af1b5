"""The WebSockets: they carry only what may be lost."""
