#!/usr/bin/env python3
"""Tests completion in the shells themselves: completion_test.py BUILD, or --installed STORE

What BUILD installs, or what is installed, is completed by Tab in a bash and a zsh at a terminal, and
by fish's own `complete`. All of it in a mount and a process namespace of its own, which end with it.
Needs root for these.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect

PROMPT = "@@@"


class Machine:
    """What is installed, a store, and a mount of it if this build can mount."""

    def __init__(self, work):
        self.work = work
        self.store = work / "store"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(work / "home"), "TERM": "xterm",
                    "LC_ALL": "C.UTF-8", "OLLAMA_MODELS": str(self.store)}
        (work / "home").mkdir()
        (work / "bin").mkdir()

    def install(self, build):
        prefix = self.work / "prefix"
        run("cmake", "--install", build, "--prefix", prefix)
        run(build / "tests/support/make-store", self.store)
        self.env["PATH"] = f"{prefix}/bin:{self.env['PATH']}"
        self.env["XDG_DATA_DIRS"] = f"{prefix}/share:/usr/share"
        return prefix / "share/zsh/site-functions"

    def prepare(self):
        # Tells how the shell took the line that begins with its name.
        told = self.work / "bin/told"
        told.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{self.work}/arguments.new"\n'
                        f'mv "{self.work}/arguments.new" "{self.work}/arguments"\n')
        told.chmod(0o755)
        self.env["PATH"] = f"{self.work}/bin:{self.env['PATH']}"
        (self.work / "archive of one.tar").touch()
        (self.work / "empty-folder").mkdir()
        self.mounts = "umount" in self.commands()
        if self.mounts:
            self.ollamafs("mount", str(self.work / "a view"))

    def ollamafs(self, *words):
        return run("ollamafs", *words, env=self.env)

    def commands(self):
        text = self.ollamafs("--help").split("Subcommands:")[1]
        return [line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2] != " "]

    def models(self):
        lines = self.ollamafs("list").split("\n\n")[0].splitlines()[1:]
        return [line.split()[0] for line in lines]

    def told_apart(self):
        """A model without a namespace and one with: no other name begins like theirs."""
        names = self.models()
        alone = [name for name in names
                 if sum(other.lower().startswith(name[:-1].lower()) for other in names) == 1]
        return [next(name for name in alone if "/" not in name), next(name for name in alone if "/" in name)]


def run(*words, env=None):
    done = subprocess.run([str(word) for word in words], env=env, text=True, capture_output=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Terminal:
    """A shell at a terminal, to which somebody types."""

    def __init__(self, machine, command, setup):
        self.machine = machine
        self.shell = pexpect.spawn(command[0], command[1:], env=machine.env, cwd=str(machine.work),
                                   encoding="utf-8", timeout=90, dimensions=(200, 200))
        for line in setup:
            self.shell.sendline(line)
        self.shell.sendline("PS1='@''@@'")
        self.shell.expect_exact(PROMPT)
        self.settle()

    def arguments(self, typed):
        """The line as the shell has it after Tab."""
        arguments = self.machine.work / "arguments"
        arguments.unlink(missing_ok=True)
        self.shell.send(typed)
        self.shell.send("\t")
        self.settle()
        self.shell.send("\x01told ")  # Ctrl-A: at the beginning of the line
        self.shell.send("\r")
        self.shell.expect_exact(PROMPT)
        self.settle()
        return arguments.read_text().splitlines()

    def listing(self, typed):
        """What it shows after Tab, pressed twice; a busy machine is given time."""
        self.shell.send(typed)
        self.settle()
        self.shell.send("\t\t")
        text = ""
        for seconds in (1.5, 3, 6, 12):
            text += self.settle(seconds)
            if text.strip("\a"):
                break
        self.shell.send("\x15\x03")  # away with the line
        self.settle()
        return text

    def settle(self, seconds=0.4):
        """All that it shows until it shows nothing more."""
        text = ""
        while True:
            try:
                text += self.shell.read_nonblocking(65536, timeout=seconds)
            except pexpect.TIMEOUT:
                return text


def bash(machine):
    return Terminal(machine, ["bash", "--norc", "--noprofile"],
                    ["bind 'set enable-bracketed-paste off'", "bind 'set page-completions off'",
                     ". /usr/share/bash-completion/bash_completion"])


def zsh(machine, functions):
    setup = [f"fpath=('{functions}' $fpath)"] if functions else []
    return Terminal(machine, ["zsh", "-f"],
                    setup + ["unset zle_bracketed_paste", "bindkey -e", "autoload -Uz compinit",
                             f"compinit -u -d '{machine.work}/zcompdump'"])


class Fish:
    """fish, which tells its candidates to a script too."""

    def __init__(self, machine):
        self.machine = machine

    def candidates(self, typed):
        text = run("fish", "-c", 'complete -C "$argv[1]"', typed,
                   env=self.machine.env)
        return [line.split("\t")[0] for line in text.splitlines()]

    def arguments(self, typed):
        found = self.candidates(typed)
        assert len(found) == 1, f"fish, {typed}: {found}"
        # It gives the last word whole; the others here have no blanks.
        return typed.split(" ")[:-1] + found

    def listing(self, typed):
        return "\n".join(self.candidates(typed))


def cases(machine):
    """What is typed before Tab, and the words that it is afterwards."""
    work = machine.work
    yield "ollamafs sho", ["show"]
    yield "ollamafs verif", ["verify"]
    yield "ollamafs list --js", ["list", "--json"]
    yield "ollamafs list --follow /usr --js", ["list", "--follow", "/usr", "--json"]
    yield "ollamafs export --format tar.z", ["export", "--format", "tar.zst"]
    yield "ollamafs export --format=tar.z", ["export", "--format=tar.zst"]
    for name in machine.told_apart():
        begun = name[:-1]
        yield f"ollamafs show {begun}", ["show", name]
        if "/" not in name:
            yield f"ollamafs show {begun.replace(':', '+')}", ["show", name.replace(":", "+")]
            yield f"ollamafs du library/{begun}", ["du", f"library/{name}"]
            yield f"ollamafs verify {begun.upper()}", ["verify", begun.upper() + name[-1]]
        yield f"ollamafs show --store={machine.store} {begun}", ["show", f"--store={machine.store}", name]
        yield f"OLLAMA_MODELS=/nowhere ollamafs export -o x --store {machine.store} {begun}", \
            ["export", "-o", "x", "--store", str(machine.store), name]
    yield f"ollamafs list --store {work}/empty-f", ["list", "--store", f"{work}/empty-folder/"]
    yield f"ollamafs list --store={work}/empty-f", ["list", f"--store={work}/empty-folder/"]
    yield f"ollamafs import {work}/archive", ["import", f"{work}/archive of one.tar"]
    if machine.mounts:
        yield "ollamafs mount -o verif", ["mount", "-o", "verify"]
        yield "ollamafs mount -o allow_other,nonem", ["mount", "-o", "allow_other,nonempty"]
        yield f"ollamafs umount {work}/a", ["umount", f"{work}/a view"]


def check(name, shell, machine):
    for typed, wanted in cases(machine):
        if name == "fish" and "=/nowhere" in typed:
            typed = typed.split(" ", 1)[1]
        got = shell.arguments(typed)
        got = got[got.index("ollamafs") + 1:]
        if got[-1] == wanted[-1].rstrip("/"):  # zsh takes it away again when something else follows
            wanted[-1] = got[-1]
        assert got == wanted, f"{name}: {typed}: {got} instead of {wanted}"

    for typed, words in ("ollamafs ", machine.commands()), ("ollamafs show ", machine.models()):
        offered = shell.listing(typed)
        for word in words:
            assert word in offered, f"{name}: {word} is not offered in {offered}"
    offered = shell.listing("ollamafs list --json --")
    assert "--store" in offered and "--follow" in offered, f"{name}: {offered}"
    said = shell.listing("ollamafs show --store /nowhere x")
    assert "error" not in said, f"{name} says {said}"
    if machine.mounts:
        assert "hold=" in shell.listing("ollamafs mount -o "), name
    print(f"{name}: passed", flush=True)


def main():
    if sys.argv[-1] != "inside":
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, "-B",
                              *sys.argv, "inside"])
    work = Path(tempfile.mkdtemp())
    machine = Machine(work)
    try:
        functions = None
        if sys.argv[1] == "--installed":
            shutil.copytree(sys.argv[2], machine.store)
        else:
            functions = machine.install(Path(sys.argv[1]).resolve())
        machine.prepare()
        check("bash", bash(machine), machine)
        check("zsh", zsh(machine, functions), machine)
        check("fish", Fish(machine), machine)
    finally:
        if getattr(machine, "mounts", False):
            machine.ollamafs("umount", "--lazy", str(work / "a view"))
        shutil.rmtree(work, ignore_errors=True)  # the daemon removes its mount point


main()
