#!/usr/bin/env python3
"""Tests index.html of a mount in a real browser: page_test.py BUILD

Chromium, headless, in namespaces of its own that have no network: the page is opened from file://. How
long it takes to open with 10,000 models is printed, not judged.
"""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from browser import Browser  # noqa: E402

# A folder may be called so, and the page names both the store and the mount point.
HOSTILE = "<img src=x onerror=document.title='owned'>\"'&amp;<script>document.title='owned'<|script>"

VISIBLE = ("Array.from(document.querySelectorAll('tbody tr')).filter(row => !row.hidden)"
           ".map(row => row.cells[0].textContent)")


def in_namespaces():
    """Runs this again where nothing stays mounted, no daemon stays, and there is no network."""
    if "inside" not in sys.argv:
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc",
                              sys.executable, *sys.argv, "inside"])


class Page:
    """A store, its mount and a browser that has opened its page."""

    def __init__(self, build, work, *options):
        self.program = f"{build}/src/ollamafs"
        self.store = f"{work}/{HOSTILE} store"
        self.view = f"{work}/{HOSTILE} view"
        self.maker = f"{build}/tests/support/make-store"
        subprocess.run([self.maker, *options, self.store], check=True)

    def add_hostile_model(self):
        """One whose manifest would run a script, if the page quoted it as it is."""
        manifest = ('{"schemaVersion":2,"config":{"digest":"sha256:<script>document.title=1</script>",'
                    '"size":3},"layers":[{"mediaType":"<img src=x onerror=document.title=2>",'
                    '"digest":"\\u003csvg onload=document.title=3\\u003e","size":4}]}')
        folder = f"{self.store}/manifests/registry.ollama.ai/hostile/model"
        os.makedirs(folder)
        with open(f"{folder}/latest", "w", encoding="utf-8") as file:
            file.write(manifest)

    def add_described_models(self):
        """Models of several sizes, and one whose config and license would run a script."""
        hostile = "</td><img src=x onerror=document.title=4><script>document.title=5</script>"
        for name, family, parameters, context, license_text in (
                ("small", "nomic-bert", "137M", 2048, "Apache License"),
                ("large", "mixtral", "8x7B", 32768, "\n  Apache License\n"),
                ("middle", "qwen3", "8.2B", 131072, "MIT License"),
                ("hostile", hostile, hostile, None, hostile)):
            config = {"model_format": "gguf", "model_family": family, "model_type": parameters,
                      "file_type": "Q8_0"}
            layers = [("license", license_text.encode())]
            if context:
                layers.append(("model", gguf(family, context)))
            manifest = {"schemaVersion": 2, "config": self.layer("", json.dumps(config).encode()),
                        "layers": [self.layer("application/vnd.ollama.image." + kind, blob)
                                   for kind, blob in layers]}
            folder = f"{self.store}/manifests/registry.ollama.ai/described/{name}"
            os.makedirs(folder)
            with open(f"{folder}/latest", "w", encoding="utf-8") as file:
                json.dump(manifest, file)

    def layer(self, media_type, blob):
        digest = hashlib.sha256(blob).hexdigest()
        with open(f"{self.store}/blobs/sha256-{digest}", "wb") as file:
            file.write(blob)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(blob)}

    def mount(self):
        os.makedirs(self.view)
        subprocess.run([self.program, "mount", "--store", self.store, self.view], check=True,
                       stderr=subprocess.DEVNULL)

    def unmount(self):
        subprocess.run([self.program, "umount", self.view], check=True)

    def url(self):
        return "file://" + urllib.parse.quote(self.view + "/index.html")

    def listed(self):
        out = subprocess.run([self.program, "list", "--store", self.store, "--json"], check=True,
                             capture_output=True, text=True).stdout
        # Some of what is broken is named twice, as a model and as a problem; the models come first.
        return re.findall(r'"name": "(.*)",', out.split('"problems":')[0])


def gguf(architecture, context):
    """The header of a GGUF file that says these two things."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    return (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) +
            text("general.architecture") + struct.pack("<I", 8) + text(architecture) +
            text(architecture + ".context_length") + struct.pack("<II", 4, context))


def clicks_header(browser, text):
    browser.click(f"Array.from(document.querySelectorAll('th button'))"
                  f".find(button => button.textContent === '{text}')")


def searches(browser, words):
    browser.value("(() => { const f = document.querySelector('input'); f.value = ''; f.focus(); })()")
    browser.write(words)
    return browser.value(VISIBLE)


def test_all_models_are_there(page, browser):
    assert sorted(browser.value(VISIBLE)) == sorted(page.listed())
    assert browser.value("document.querySelector('h1').textContent") == "Models"


def test_it_asks_for_nothing_else(page, browser):
    asked = [event["request"]["url"] for event in browser.named("Network.requestWillBeSent")]
    assert asked == [page.url()], asked
    assert not browser.named("Runtime.exceptionThrown")
    assert not browser.named("Log.entryAdded"), browser.named("Log.entryAdded")


def test_texts_of_the_store_run_no_script(page, browser):
    assert browser.value("document.title") == "Models"
    assert browser.value("document.scripts.length") == 1
    assert browser.value("document.querySelectorAll('img, svg, iframe, object').length") == 0
    text = browser.value("document.body.innerText")
    assert page.store in text, text[:300]  # the mount point stands in the commands, as a shell's word
    row = browser.value("Array.from(document.querySelectorAll('tbody tr')).find(row => "
                        "row.cells[0].textContent === 'hostile/model:latest').textContent")
    assert "<" in row, row  # the fault quotes what is wrong
    row = browser.value("Array.from(document.querySelectorAll('tbody tr')).find(row => "
                        "row.cells[0].textContent === 'described/hostile:latest').textContent")
    assert row.count("<") >= 3, row


def test_search(page, browser):
    names = page.listed()
    found = searches(browser, "LLAMA 3b")
    assert sorted(found) == sorted(n for n in names if "llama" in n.lower() and "3b" in n.lower())
    assert found, names
    count = browser.value("document.getElementById('count').textContent")
    assert count == f"{len(found)} of {len(names)}", count
    assert searches(browser, "apache bert") == ["described/small:latest"]
    assert searches(browser, "MIT q8_0") == ["described/middle:latest"]
    assert searches(browser, "described 8x7b 32768") == ["described/large:latest"]
    assert all(name.startswith(("broken/", "hostile/")) for name in searches(browser, "broken:"))
    assert searches(browser, "none such") == []
    assert len(searches(browser, " ")) == len(names)


def test_what_blobs_say(page, browser):
    cells = browser.value("(row => Array.from(row.cells).slice(2, 7).map(c => c.textContent.trim()))"
                          "(Array.from(document.querySelectorAll('tbody tr')).find(row => "
                          "row.cells[0].textContent === 'described/large:latest'))")
    assert cells == ["mixtral", "8x7B", "Q8_0", "32768", "Apache License"], cells


def test_sort_by_numbers_in_words(page, browser):
    searches(browser, "described")
    for text, order in (("Parameters", ["hostile", "small", "middle", "large"]),
                        ("Context", ["hostile", "small", "large", "middle"])):
        names = [f"described/{name}:latest" for name in order]
        clicks_header(browser, text)
        assert browser.value(VISIBLE) == names, (text, browser.value(VISIBLE))
        clicks_header(browser, text)
        assert browser.value(VISIBLE) == names[::-1], (text, browser.value(VISIBLE))
    searches(browser, " ")


def test_a_screen_reader_finds_a_table(page, browser):
    browser.resize(1280, 8000)  # rows that are not seen have no cells yet
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    browser.resize(1280)
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    models = len(page.listed())
    found = {role: roles.count(role) for role in ("table", "row", "columnheader", "cell")}
    assert found == {"table": 1, "row": models + 1, "columnheader": 14, "cell": 14 * models}, found


def test_every_width_can_be_read(page, browser):
    for width in (360, 800, 1366, 1920):
        browser.resize(width)
        assert browser.value("document.documentElement.scrollWidth <= innerWidth"), width
        # Each head stands above its cells, and no cell reaches into its neighbour.
        assert browser.value(
            "(row => Array.from(row.cells).every((cell, i, all) => cell.scrollWidth <= cell.clientWidth + 1"
            " && Math.abs(cell.getBoundingClientRect().x -"
            " document.querySelectorAll('th')[i].getBoundingClientRect().x) < 1))"
            "(Array.from(document.querySelectorAll('tbody tr')).find(row => !row.querySelector('.bad')))"), width
    browser.resize(1280)


def test_sort(page, browser):
    for column, text in ((7, "Size"), (10, "Date (UTC)")):
        values = f"Array.from(document.querySelectorAll('tbody tr')).map(r => +r.cells[{column}].dataset.v)"
        clicks_header(browser, text)
        up = browser.value(values)
        assert up == sorted(up) and (len(set(up)) > 1 or column == 10), up
        clicks_header(browser, text)
        assert browser.value(values) == sorted(up, reverse=True)
        assert browser.value("Array.from(document.querySelectorAll('[aria-sort]'))"
                             ".map(head => head.getAttribute('aria-sort'))") == ["descending"]
    clicks_header(browser, "Name")
    names = browser.value(VISIBLE)
    assert len(names) == len(page.listed())
    assert browser.value(f"{VISIBLE}.every((name, i, all) => i === 0 || "
                         "all[i - 1].localeCompare(name, undefined, {numeric: true}) <= 0)")


def test_copy_buttons(page, browser):
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    code = browser.value("document.querySelector('tbody code').textContent")
    browser.click("document.querySelector('tbody code + button')")
    for _ in range(50):
        if browser.value("document.querySelector('tbody code + button').textContent") == "Copied":
            break
        browser.value("new Promise(done => setTimeout(done, 100))")
    assert browser.value("navigator.clipboard.readText()") == code
    # A shell takes it apart into the very path, whatever that is called.
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {code}"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    assert any(word.startswith(page.view + "/models/") and os.path.isdir(word) for word in words), words


def test_dark_and_light(page, browser):
    pictures = {}
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        paper, ink = browser.value("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (paper, ink)]
        assert (brightness[0] > brightness[1]) == (scheme == "light"), (scheme, paper, ink)
        assert abs(brightness[0] - brightness[1]) > 400, (scheme, paper, ink)
        pictures[scheme] = browser.picture()
    assert pictures["light"] != pictures["dark"]


def test_links_open(page, browser):
    href = browser.value("Array.from(document.querySelectorAll('a')).find(a => a.textContent === 'contents').href")
    browser.open(href)
    assert "manifest.json" in browser.value("document.body.innerText")
    browser.open(page.url())


def test_without_script_it_can_be_read(page, browser):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page.url())
    assert browser.value("document.getElementById('search').hidden")
    assert sorted(browser.value(VISIBLE)) == sorted(page.listed())
    assert browser.value("document.querySelectorAll('button').length") == 0
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    browser.open(page.url())


def run_all(page, browser):
    failed = 0
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        try:
            test(page, browser)
        except Exception as error:  # noqa: BLE001  # any is a failure
            failed += 1
            print(f"FAILED: {name}: {type(error).__name__}: {error}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed


def measure(build, work):
    page = Page(build, work, "--models", "10000")
    page.mount()
    try:
        for what in ("first", "again"):
            start = time.monotonic()
            subprocess.run(["cat", page.view + "/index.html"], check=True, stdout=subprocess.DEVNULL)
            print(f"10,000 models are read in {time.monotonic() - start:.2f} s ({what})")
        with Browser() as browser:
            for what in ("first", "again"):
                seconds = browser.open(page.url())
                assert browser.value("document.querySelectorAll('tbody tr').length") > 10000
                print(f"10,000 models open in {seconds:.2f} s ({what}), "
                      f"{os.path.getsize(page.view + '/index.html') / 1e6:.1f} MB")
            seconds = browser.value(
                "(() => { const f = document.querySelector('input'), start = performance.now(); "
                "f.value = 'model-77'; f.dispatchEvent(new Event('input')); document.body.offsetHeight; "
                "return (performance.now() - start) / 1000; })()")
            print(f"they are searched in {seconds:.2f} s")
    finally:
        page.unmount()


def main():
    in_namespaces()
    build = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        page = Page(build, work, "--broken")
        page.add_hostile_model()
        page.add_described_models()
        page.mount()
        try:
            with Browser() as browser:
                browser.open(page.url())
                failed = run_all(page, browser)
        finally:
            page.unmount()
        if not failed and "--measure" in sys.argv:
            measure(build, tempfile.mkdtemp(dir=work))
    sys.exit(1 if failed else 0)


main()
