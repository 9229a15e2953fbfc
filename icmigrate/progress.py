"""What long work reports to while it runs. Silent here; `console/` shows it."""

from __future__ import annotations


class Progress:
    """Takes reports and does nothing with them: the default of every function that reports.

    Reports come from the event loop's thread. Numbers are increments, so that work which runs side by side
    needs no common counter.
    """

    def phase(self, name: str) -> None:
        """A phase begins; the one before it is over. Totals and counts start again at zero."""

    def total(self, *, bytes: int = 0, chunks: int = 0, records: int = 0) -> None:
        """Adds to what this phase has to do."""

    def advance(self, *, bytes: int = 0, chunks: int = 0, records: int = 0, skipped: int = 0) -> None:
        """Adds to what this phase has done; `skipped` counts chunks or records that were there already."""

    def note(self, event: str, **fields: object) -> None:
        """Something worth a line: what happened, in words, and its particulars."""
