"""When to ask next (pure). Ages and gaps are in seconds.

Until enough generations of a kind have finished, the rule is fixed: first after 5 s, then every 5 s for
three minutes, then ever more slowly: a tenth of the age, up to the longest gap.
"""

from __future__ import annotations

FIRST = 5.0
GAP = 5.0
STEADY_UNTIL = 180.0
SLOWER = 0.1


def gap(age: float, *, shortest: float, longest: float) -> float:
    """Seconds until the next poll of a generation that was submitted ``age`` seconds ago."""
    wanted = FIRST if age <= 0 else GAP if age < STEADY_UNTIL else max(GAP, age * SLOWER)
    return min(longest, max(shortest, wanted))
