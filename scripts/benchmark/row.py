"""A row of the table: two things measured in turn, their ratio, and what it aims at."""

import dataclasses
import statistics
from collections.abc import Callable

RATES = ("GB/s", "k reads/s")  # of these more is better; of everything else, less


class Skip(Exception):
    """This row cannot be measured here; says why."""


class Fault(Exception):
    """What was measured cannot be believed; says why."""


@dataclasses.dataclass(frozen=True)
class Aim:
    """A bound of the ratio, of the value itself, or of by how much it is above the other."""

    of: str  # "ratio", "value" or "growth"
    bound: float

    def __str__(self):
        words = {"ratio": ">= {:g}x", "value": "<= {:g}", "growth": "grows <= {:g}"}
        return words[self.of].format(self.bound)

    def is_met(self, result):
        if self.of == "ratio":
            return result.ratio is None or result.ratio.median >= self.bound
        if self.of == "growth":
            return result.ours.median - result.other.median <= self.bound
        return result.ours.median <= self.bound


def ratio_of(bound):
    return Aim("ratio", bound)


def at_most(bound):
    return Aim("value", bound)


def grows_at_most(bound):
    return Aim("growth", bound)


@dataclasses.dataclass(frozen=True)
class Row:
    """What is measured. Its functions make what they need when they are first called."""

    name: str
    unit: str
    ours: Callable[[], float]
    against: str  # what the other is, in words
    other: Callable[[], float]
    aim: Aim | None = None
    cold: bool = False  # with nothing in the caches, which only root can drop, and of a disk
    tools: tuple[str, ...] = ()  # the commands that it runs, beside those that every Debian has
    needs: Callable[[], None] | None = None  # raises Skip
    repeats: int | None = None  # at most so many, where one takes long

    @property
    def title(self):
        """No two rows have the same."""
        return f"{self.name}, against {self.against}"


@dataclasses.dataclass(frozen=True)
class Spread:
    """Values of several repeats."""

    values: tuple[float, ...]

    median = property(lambda self: statistics.median(self.values))
    min = property(lambda self: min(self.values))
    max = property(lambda self: max(self.values))

    def as_json(self):
        return {"median": self.median, "min": self.min, "max": self.max, "runs": len(self.values)}


@dataclasses.dataclass(frozen=True)
class Result:
    """A row's values; without them, why there are none."""

    row: Row
    ours: Spread | None = None
    other: Spread | None = None
    skipped: str | None = None
    failed: str | None = None

    @property
    def ratio(self):
        """Of each repeat, how much better ours is; None: it costs nothing, or there is nothing."""
        better, worse = (self.ours, self.other) if self.row.unit in RATES else (self.other, self.ours)
        if better is None or 0 in worse.values:
            return None
        return Spread(tuple(b / w for b, w in zip(better.values, worse.values)))

    @property
    def met(self):
        """Whether the aim is met; None: there is no aim, or no value."""
        return self.row.aim.is_met(self) if self.row.aim and self.ours else None

    def as_json(self):
        row = {"name": self.row.name, "unit": self.row.unit, "against": self.row.against}
        for key in ("skipped", "failed"):
            if getattr(self, key):
                return row | {key: getattr(self, key)}
        row |= {"value": self.ours.as_json(), "against_value": self.other.as_json()}
        row["ratio"] = self.ratio.as_json() if self.ratio else None
        if self.row.aim:
            row |= {"aim": dataclasses.asdict(self.row.aim), "met": self.met}
        return row


def measure(row, repeats):
    """Measures both sides in turn, the first of them too, so that what else the machine does, and how
    that changes, meets both alike."""
    try:
        if row.needs:
            row.needs()
        ours, other = [], []
        sides = [(other, row.other), (ours, row.ours)]
        for _ in range(min(repeats, row.repeats or repeats)):
            for values, side in sides:
                values.append(side())
            sides.reverse()
    except Skip as skip:
        return Result(row, skipped=str(skip))
    except Exception as error:  # one row must not cost the others
        return Result(row, failed=f"{type(error).__name__}: {error}")
    return Result(row, Spread(tuple(ours)), Spread(tuple(other)))
