"""How strictly the next check has to judge, so that a year of checks keeps to its number of false alarms.

Each check may raise a false alarm with a probability that is fixed before its data are seen: what the budget has
earned since the last check. By linearity the probabilities add up to the expected number of false alarms, however the
checks depend on each other: they share a reference, and their windows may overlap. What a check without enough data
did not spend is kept for the next ones; asking more often does not spend more.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lastmile.drift.report import DriftReport
from lastmile.drift.verdict import ALPHA
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift

HOURS_PER_YEAR = 365.25 * 24
MARGIN = 0.8  # of the budget is given out: the rest is for the approximations of tails
KEPT_CHECKS = 7  # how many checks' worth is kept at most: long silence is no licence to cry wolf
FORMAT = 1


@dataclass(frozen=True)
class Budget:
    """`saved` is the probability that may still be spent, `spent` what was since `since`: the false alarms to be
    expected by now. `at` and `since` are seconds since 1970. While `is_active`, drift was found and is not yet over.
    """

    at: float | None = None
    since: float | None = None
    saved: float = 0.0
    spent: float = 0.0
    checks: int = 0
    alarms: int = 0
    is_active: bool = False

    def level(self, policy: Drift, at: float) -> float:
        """`alpha` for a check at that time. 0 where nothing has been earned yet: that check can raise no alarm."""
        return min(ALPHA, self._earned(policy, at))

    def after(self, report: DriftReport | None, policy: Drift, at: float) -> tuple["Budget", bool]:
        """The budget after the check at that time, and whether it begins an alarm.

        The report is None where there was nothing to compare. An alarm begins once, and may begin again only after a
        check that finds no drift.
        """
        earned = self._earned(policy, at)
        cost = 0.0 if report is None or not report.tests else min(report.alpha, earned)
        is_drifted = report is not None and report.alarm
        begins = is_drifted and not self.is_active
        is_over = report is not None and report.tests > 0 and not is_drifted
        return (
            replace(
                self,
                at=at if self.at is None else max(at, self.at),
                since=at if self.since is None else self.since,
                saved=earned - cost,
                spent=self.spent + cost,
                checks=self.checks + 1,
                alarms=self.alarms + begins,
                is_active=is_drifted or (self.is_active and not is_over),
            ),
            begins,
        )

    def sentence(self, policy: Drift) -> str:
        """What is promised, and what was used of it."""
        one = policy.alarms_per_year == 1
        told = (
            f"At most {policy.alarms_per_year:g} false alarm{' a year is' if one else 's a year are'} "
            "to be expected of this model"
        )
        if self.since is None:
            return f"{told}; the schedule has not checked it yet."
        day = datetime.fromtimestamp(self.since, UTC).date()
        return (
            f"{told}; since {day} {self.checks:,} check{' was' if self.checks == 1 else 's were'} "
            f"worth {self.spent:.2g} of one, and {self.alarms} alarm{'' if self.alarms == 1 else 's'} began."
        )

    def to_document(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Budget":
        if document.get("format") != FORMAT:
            raise ProfileMismatch(f"the alarm budget has format {document.get('format')!r}, format {FORMAT} is read")
        return cls(**{key: value for key, value in document.items() if key != "format"})

    def _earned(self, policy: Drift, at: float) -> float:
        """Saved and earned since the last check; the first check has earned its own interval."""
        per_hour = MARGIN * policy.alarms_per_year / HOURS_PER_YEAR
        hours = policy.every_hours if self.at is None else max(0.0, at - self.at) / 3600
        most = KEPT_CHECKS * per_hour * policy.every_hours
        return min(self.saved + per_hour * hours, most)
