"""Rows: `ollamafs import`, against the tools that do a part of it each: hash, and copy."""

import time

from .machine import run, seconds, shell
from .models import fsync_below
from .reading import cold, warm
from .row import Row, ratio_of


def rows(fixtures):
    yield from rate_rows(fixtures)
    yield from end_to_end_rows(fixtures)


def timed(steps, target):
    """Seconds until what the steps write is on the disk."""
    start = time.perf_counter()
    steps()
    fsync_below(target)
    return time.perf_counter() - start


def exported(fixtures, model, name):
    """The model as one tar, made once."""
    path = fixtures.work / f"{name}.tar"
    if not path.exists():
        run(fixtures.program, "export", f"bench:{name}", "--store", model.store, "--quiet", "-o", path)
    return path


def rate_rows(fixtures):
    """All in GB/s of the model, whose blobs have the digests that they are named by."""
    big = lambda: fixtures.split
    tar = lambda: exported(fixtures, big(), "split")

    def into(target):
        run(fixtures.program, "import", tar(), "--store", target / "store", "--quiet")

    def new(state):
        def measure():
            target = fixtures.empty_target()
            state(tar())
            return big().size / timed(lambda: into(target), target) / 1e9

        return measure

    def hashed_and_copied(state):
        def measure():
            target = fixtures.empty_target()
            state(tar())

            def steps():
                run("openssl", "dgst", "-sha256", tar())
                run("cp", "--reflink=never", tar(), target)

            return big().size / timed(steps, target) / 1e9

        return measure

    def there():
        target = fixtures.empty_target()
        into(target)
        return big().size / timed(lambda: into(target), target) / 1e9

    def hashed():
        for blob in big().blobs:
            warm(blob)
        return big().size / seconds("openssl", "dgst", "-sha256", *big().blobs) / 1e9

    for temperature, state in (("warm", warm), ("cold", cold)):
        is_cold = state is cold
        yield Row(
            f"import of a tar, synced, {temperature}", "GB/s", new(state), "openssl dgst -sha256, then cp",
            hashed_and_copied(state), None if is_cold else ratio_of(1.3), cold=is_cold, tools=("openssl",), repeats=3,
        )
    yield Row(
        "import of a tar whose blobs are there, warm", "GB/s", there, "openssl dgst -sha256 of the blobs", hashed,
        tools=("openssl",), repeats=3,
    )


def end_to_end_rows(fixtures):
    """From a store into an empty one, until it is on the disk; gzip is so slow that a smaller model must do."""
    size = fixtures.settings.small // (1 << 20)
    model = lambda: fixtures.small_true
    package = fixtures.work / "end-to-end.tar.gz"

    def ours():
        target = fixtures.empty_target()
        warm(model().blob)
        took = timed(lambda: run(*shell(
            f'"$1" export bench:{model().name} --store "$2" --quiet -o - | "$1" import - --store "$3" --quiet',
            fixtures.program, model().store, target / "store")), target)
        run(fixtures.program, "verify", "--quiet", "--store", target / "store")
        return took

    def usual():
        """It hashes nothing: what comes out is believed."""
        target = fixtures.empty_target()
        warm(model().blob)

        def steps():
            run("tar", "czf", package, "-C", model().store, ".")
            run("tar", "xzf", package, "-C", target)

        try:
            return timed(steps, target)
        finally:
            package.unlink(missing_ok=True)

    yield Row(
        f"export | import, synced ({size} MiB)", "s", ours, "tar czf, then tar xzf", usual, ratio_of(20), repeats=3,
    )
