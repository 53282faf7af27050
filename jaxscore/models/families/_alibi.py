"""Slopes of ALiBi by number of heads."""

from __future__ import annotations

import math


def alibi_slopes(heads: int) -> tuple[float, ...]:
    """ALiBi's slopes as BLOOM and Falcon take them: a geometric series; for counts that are no power of 2 two of them.

    Source: Press, Smith and Lewis 2022, Train Short, Test Long.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8.0 * (i + 1) / power) for i in range(power)]
    between = [2 ** (-8.0 * (2 * i + 1) / (2 * power)) for i in range(heads - power)]
    return (*slopes, *between)
