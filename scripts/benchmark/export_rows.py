"""Rows: `ollamafs export` to a pipe, against tar of the same files on the disk."""

import contextlib
import pathlib
import re
import subprocess
import time

from .machine import seconds, shell
from .reading import cold, warm
from .row import Fault, Row, at_most, ratio_of


def rows(fixtures):
    yield from rate_rows(fixtures)
    yield from memory_rows(fixtures)


def rate_rows(fixtures):
    """All in GB/s of the model, to a reader that only reads."""
    big = lambda: fixtures.big

    def export(form, state):
        def measure():
            script = '"$1" export bench:big --store "$2" --format "$3" -o - | cat >/dev/null'
            command = shell(script, fixtures.program, big().store, form)
            state(big().blob)
            return big().size / seconds(*command) / 1e9

        return measure

    def tar(pipe, state):
        def measure():
            directory = fixtures.files_of(big())
            state(big().blob)
            return big().size / seconds(*shell(f'tar cf - -C "$1" . {pipe} | cat >/dev/null', directory)) / 1e9

        return measure

    for temperature, state in (("warm", warm), ("cold", cold)):
        is_cold = state is cold
        yield Row(
            f"export | cat, {temperature}", "GB/s", export("tar", state),
            "GNU tar | cat, files on disk", tar("", state), None if is_cold else ratio_of(1.5), cold=is_cold,
        )
        yield Row(
            f"export as tar.zst | cat, {temperature}", "GB/s", export("tar.zst", state),
            "GNU tar | zstd -T0 | cat, files on disk", tar("| zstd -qT0", state),
            None if is_cold else ratio_of(1), cold=is_cold, tools=("zstd",), repeats=3,
        )


def memory_rows(fixtures):
    """The most memory that an export has, in MB: of a blob that is far larger."""
    size = fixtures.settings.sparse // (1 << 30)

    def export(form):
        return lambda: peak_of(
            fixtures.program, "export", "bench:sparse", "--store", fixtures.sparse.store, "--format", form, "-o", "-"
        )

    def tar():  # of less, because it takes minutes for so much
        return peak_of("tar", "cf", "-", "-C", fixtures.files_of(fixtures.small), ".")

    for form in ("tar", "tar.zst"):
        yield Row(
            f"memory of export as {form} ({size} GiB sparse)", "MB", export(form), "GNU tar", tar,
            at_most(67), repeats=1,  # 64 MiB
        )


def peak_of(*command):
    """Looked at again and again: what getrusage says has what Python had before it ran the command."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        process.stdout.close()
        while process.poll() is None:
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                    peak = max(peak, int(found[1]) * 1024 / 1e6)
            time.sleep(0.01)
        reader.wait()
    if process.returncode != 0 or peak == 0:
        raise Fault(f"{command[0]} ended with {process.returncode}")
    return peak
