"""The one exception a person is meant to read."""

from __future__ import annotations


class Mend(Exception):
    """Bad usage or input: what is wrong, where it stands, and how to mend it, as one line. The front door exits 2 with it."""

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(": ".join(part for part in (where, what) if part) + (f"; {mend}" if mend else ""))
