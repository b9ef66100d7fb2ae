"""A headless Chromium, driven by the DevTools protocol over a pair of pipes: no port, no driver.

See https://chromedevtools.github.io/devtools-protocol/ for the methods and events.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

# It asks nobody for anything: neither for updates, nor whether there is a network.
QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb"]


class Browser:
    """One page in a browser of its own. Fails by an exception: what the browser itself said is in it."""

    def __init__(self, width=1280, height=800):
        self.profile = tempfile.mkdtemp()
        to_browser, self.commands = os.pipe()
        self.answers, from_browser = os.pipe()
        self.log = tempfile.TemporaryFile()
        # The browser takes its commands from descriptor 3, and answers on 4.
        places = f"exec 3<&{to_browser} 4>&{from_browser}; exec \"$@\""
        self.process = subprocess.Popen(
            ["bash", "-c", places, "browser", "chromium", *QUIET, "--remote-debugging-pipe",
             f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(to_browser, from_browser), stderr=self.log, stdout=self.log,
            env={**os.environ, "HOME": self.profile})
        os.close(to_browser)
        os.close(from_browser)
        self.number = 0
        self.rest = b""
        self.session = None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")
        self.resize(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.commands)  # at which it ends
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.answers)
        shutil.rmtree(self.profile, ignore_errors=True)

    def message(self, seconds=120):
        """The next message of the browser."""
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.answers], [], [], left)[0]
            more = os.read(self.answers, 1 << 20) if ready else b""
            if not more:
                self.log.seek(0)
                raise RuntimeError("chromium does not answer: " +
                                   self.log.read()[-2000:].decode(errors="replace"))
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def named(self, event):
        """The parameters of all events of this name since the last page was opened."""
        return [message["params"] for message in self.events if message.get("method") == event]

    def open(self, url):
        """Opens a page and returns when it is loaded; returns after how many seconds that is."""
        self.events.clear()
        start = time.monotonic()
        error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise RuntimeError(f"{url}: {error}")
        while not self.named("Page.loadEventFired"):
            self.events.append(self.message())
        return time.monotonic() - start

    def value(self, expression):
        """What a JavaScript expression of the page is worth."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True, userGesture=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def click(self, element):
        """Presses the mouse on what a JavaScript expression finds."""
        box = self.value(f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); "
                         "const b = e.getBoundingClientRect(); "
                         "return [b.x + b.width / 2, b.y + b.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                      clickCount=1)

    def write(self, text):
        """Types into the field that has the focus."""
        self.call("Input.insertText", text=text)

    def resize(self, width, height=800):
        """As in a window of this size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme):
        """As the system of a person who likes it "light" or "dark"."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self):
        """A PNG of what is seen."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
