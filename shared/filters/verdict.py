"""What follows from several verdicts on one message: the decision, and what Sieve is told (RFC 5235)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.message.verdict import SEVERITY, Action, Verdict

__all__ = ["SEVERITY", "Action", "Verdict", "decisive", "spam_percent", "virus_level"]

NO_VIRUS, CERTAIN_VIRUS = 1, 5  # RFC 5235 §3.1
SPAM_PERCENT = 50.0  # of a score that is just the threshold
SURELY = 100.0


def decisive(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the verdict that decides: the most severe, the first of equals; None when there is none."""
    return max(verdicts, key=lambda verdict: SEVERITY[verdict.action], default=None)


def spam_percent(verdicts: Iterable[Verdict]) -> float | None:
    """Return how surely a message is spam, 0 to 100; None when nobody looked.

    A scanner's threshold is 50, twice the threshold and anything above is 100; one without scores is sure.
    """
    known = [percent for verdict in verdicts if (percent := _percent(verdict)) is not None]
    return max(known) if known else None


def virus_level(verdicts: Iterable[Verdict]) -> int | None:
    """Return virustest's value: 1 (none) to 5 (a virus); None when nobody looked."""
    looked = [verdict for verdict in verdicts if verdict.virus or (verdict.looked_for_viruses and not verdict.failed)]
    if not looked:
        return None
    return CERTAIN_VIRUS if any(verdict.virus for verdict in looked) else NO_VIRUS


def _percent(verdict: Verdict) -> float | None:
    if verdict.failed:
        return None
    if verdict.score is None or not verdict.threshold or verdict.threshold <= 0:
        return SURELY if verdict.is_spam else None
    least = SPAM_PERCENT if verdict.is_spam else 0.0
    return min(max(verdict.score / verdict.threshold * SPAM_PERCENT, least), SURELY)
