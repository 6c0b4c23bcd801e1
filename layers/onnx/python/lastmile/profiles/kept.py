"""Profiles as objects: one per delivery of captures and version, and one per day in which those are merged."""

from lastmile.profile import Profile
from lastmile.profiles.counting import merged
from lastmile.profiles.day import Day, Span, at_once, packed
from lastmile.profiles.paths import SUFFIX, days_within, folder_of_day, folder_of_hour, hours_within, named_day
from lastmile.store import Store


class ProfileStore:
    """`merges`: reading a window also leaves what it has merged for the next reader, by compare-and-swap."""

    def __init__(self, store: Store, *, merges: bool = False) -> None:
        self._store = store
        self._merges = merges

    def write(
        self, model: str, version: int, hour: float, batch: str, profile: Profile, *, span: Span | None = None
    ) -> None:
        """`hour` is a time within it, in seconds since 1970; `batch` names the delivery, and is written over."""
        document = {**profile.to_document(), "span": span and list(span)}
        self._store.put(
            f"{folder_of_day(model, version, hour)}/{folder_of_hour(hour)}/{batch}{SUFFIX}", packed(document)
        )

    def read(self, model: str, version: int, since: float, until: float) -> Profile | None:
        """All that was delivered of the version for this time; None when nothing was.

        Whole hours count whole. At the ends of the window a delivery, of a minute at most, counts where it begins.
        Raises ProfileMismatch where layouts differ within the window.
        """
        return merged(profile for _, profile in self.hours(model, version, since, until))

    def hours(self, model: str, version: int, since: float, until: float) -> list[tuple[float, Profile]]:
        """The same, hour by hour: the first second of each hour for which something was delivered, in order."""
        days = [Day(self._store, model, version, start) for start in days_within(since, until)]
        found = at_once(lambda day: day.read(since, until, merges=self._merges), days)
        return [hour for day in found for hour in day]

    def versions(self, model: str, since: float, until: float) -> list[int]:
        """Which versions have captures of hours in this time, in ascending order."""
        named = self._store.list_folders(f"profiles/model={model}")
        numbers = (name.removeprefix("version=") for name in named)
        wanted = [int(number) for number in numbers if number.isdecimal()]
        found = at_once(lambda version: self._has_hours(model, version, since, until), wanted)
        return sorted(version for version, has_some in zip(wanted, found, strict=True) if has_some)

    def _has_hours(self, model: str, version: int, since: float, until: float) -> bool:
        folder = f"profiles/model={model}/version={version}"
        stored = set(self._store.list_folders(folder))
        for start in days_within(since, until):
            if f"dt={named_day(start)}" in stored:
                hours = {folder_of_hour(hour) for hour in hours_within(start, since, until)}
                if not hours.isdisjoint(self._store.list_folders(f"{folder}/dt={named_day(start)}")):
                    return True
        return False
