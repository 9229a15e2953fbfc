"""Numbers with units: bytes, cycles, durations, short enough for a table."""

from __future__ import annotations


class Amount(str):
    """A number with its unit."""

    __slots__ = ()


def size(count: float) -> Amount:
    """Bytes in decimal units, as networks count them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return Amount(f"{count / factor:.1f} {unit}")
    return Amount(f"{count:.0f} B")


def cycles(count: int) -> Amount:
    """Cycles in trillions."""
    return Amount(f"{count / 1e12:.3f} T")


def seconds(count: float) -> Amount:
    """A duration."""
    if count < 60:
        return Amount(f"{count:.1f} s")
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return Amount(f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02} min")
