"""Rows: a store looked after, against the tool that does the same work by one file after the other."""

from .machine import drop_caches, seconds
from .reading import warm
from .row import Row, ratio_of

PROCESSORS = "0,1"  # SHA-256 goes through a file from its beginning: only files are done side by side


def rows(fixtures):
    split = lambda: fixtures.split

    def ours():
        return split().size / 1e9 / seconds(
            "taskset", "-c", PROCESSORS, fixtures.program, "verify", "--quiet", "--store", split().store)

    def openssl():
        return split().size / 1e9 / seconds("openssl", "dgst", "-sha256", *split().blobs)

    def row(state, prepare, cold):
        def prepared(measured):
            def run():
                prepare()
                return measured()
            return run

        return Row(
            f"verify of four blobs, two processors, {state}", "GB/s", prepared(ours),
            "openssl dgst -sha256", prepared(openssl), None if cold else ratio_of(1.8), cold=cold,
            tools=("openssl",),
        )

    def warm_all():
        for blob in split().blobs:
            warm(blob)

    yield row("warm", warm_all, cold=False)
    yield row("cold", lambda: (split(), drop_caches()), cold=True)
