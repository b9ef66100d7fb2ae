"""What is shown: a line for every row as it is measured, or one JSON object at the end."""

import json

from .whole import write_whole

NAME, VALUE, AGAINST, RATIO = 48, 19, 44, 25

SETTINGS = ("quick", "repeats", "size", "small", "sparse", "models", "only")  # that JSON tells

HOW = """Each row is measured in turn with what it is held against, and each of them first in turn. Values are
medians over repeats; the ratio is how many times better, the median with the least and the most of them."""


def headline(machine):
    return (
        f"{machine['cores']} cores, {machine['ram_gib']:g} GiB, Linux {machine['kernel']} "
        f"{machine['architecture']}, libfuse {machine['libfuse']}, ollamafs {machine['ollamafs']}, "
        f"{'root' if machine['root'] else 'not root'}"
    )


class Text:
    """A table that grows."""

    def start(self, machine, settings):
        size = settings.size // (1 << 20)
        print(headline(machine), f"model of {size} MiB", sep="; ")
        print(HOW)
        if settings.quick:
            print("A quick run: that it runs is all that it shows.")
        print(f"\n{'':{NAME}}{'value':{VALUE}}{'against':{AGAINST}}{'ratio':{RATIO}}aim")

    def group(self, title):
        print(f"\n{title}", flush=True)

    def row(self, result):
        print(line(result), flush=True)

    def end(self, results):
        for title, chosen in (
            ("not met", [result for result in results if result.met is False]),
            ("failed", [result for result in results if result.failed]),
        ):
            if chosen:
                print(f"\n{title}:")
                for result in chosen:
                    print(f"  {result.row.title}")
        aims = [result.met for result in results if result.met is not None]
        skipped = sum(1 for result in results if result.skipped)
        print(f"\n{aims.count(True)} of {len(aims)} aims met, {skipped} rows skipped")


class Json:
    """The same as one object, in a file."""

    def __init__(self, path):
        self.path = path

    def start(self, machine, settings):
        chosen = {name: getattr(settings, name) for name in SETTINGS}
        self.head = {"machine": machine, "settings": chosen}
        self.title = None
        self.rows = []

    def group(self, title):
        self.title = title

    def row(self, result):
        self.rows.append({"group": self.title} | result.as_json())

    def end(self, _):
        write_whole(self.path, json.dumps(self.head | {"rows": self.rows}, indent=2) + "\n")


def line(result):
    row = result.row
    name = f"  {row.name:{NAME - 2}}"
    if result.skipped:
        return f"{name}skipped: {result.skipped}"
    if result.failed:
        return f"{name}failed: {result.failed}"
    against = f"{amount(result.other.median, row.unit)} {row.against}"
    verdict = ""
    if row.aim:
        verdict = f"{row.aim}, {'met' if result.met else 'NOT MET'}"
    return (
        f"{name}{amount(result.ours.median, row.unit):{VALUE}}{against:{AGAINST}}"
        f"{times(result.ratio):{RATIO}}{verdict}"
    ).rstrip()


def amount(value, unit):
    return f"{value:>8.{digits(value)}f} {unit}".rstrip()


def times(ratio):
    if ratio is None:
        return "-"
    low, middle, high = (f"{value:.{digits(value)}f}" for value in (ratio.min, ratio.median, ratio.max))
    return f"{middle:>7}x ({low}..{high})"


def digits(value):
    """Three significant ones, roughly."""
    return 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
