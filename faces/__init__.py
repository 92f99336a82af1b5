"""The language all Rollcall processes speak: the domain, the wire, and (alone) the engines."""
