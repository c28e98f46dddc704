#!/usr/bin/env python3
"""A headless Chromium driven over a pipe by its DevTools protocol. The standard library alone. Called as a program it says which
Chromium there is; exit code 77 if there is none."""

import base64
import contextlib
import fcntl
import json
import math
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # as root there is none; only the project's own pages are opened
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--remote-debugging-pipe",
)
NONE_THERE = "skipped: there is no Chromium; install chromium, or name one by the variable GRADSTAB_CHROMIUM"
PATIENCE = 120  # seconds that an answer may take on a busy machine


class BrowserError(Exception):
    """Chromium did not start, stopped, or refused a request."""


def find_browser():
    """The path of a Chromium that starts, or None. The variable GRADSTAB_CHROMIUM names another one."""
    named = os.environ.get("GRADSTAB_CHROMIUM")
    for name in (named,) if named else NAMES:
        path = shutil.which(name)
        # Some systems have a script of that name that only says how to install it.
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


class Page:
    """One tab. What goes wrong in it is kept in `errors`, what it asks for in `requests`."""

    def __init__(self, browser, target, session):
        self._browser = browser
        self._target = target
        self._session = session
        self.errors = []
        self.requests = []
        self._loaded = False
        self._size = {}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        """The answer to a request of the protocol."""
        return self._browser.call(method, parameters, self._session)

    def before_scripts(self, source):
        """Runs `source` in every document of this tab, before the document's own scripts."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=source)

    def resize(self, width, height, scale=1, dark=False):
        """Size of the window in CSS pixels, device pixels per CSS pixel, and the preferred colours."""
        self._size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **self._size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path):
        """Loads a file and waits until it is laid out and drawn."""
        self.open_address(pathlib.Path(path).resolve().as_uri())

    def open_address(self, url):
        """The same with an address."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        self._browser.wait(lambda: self._loaded)
        self.settle()

    def settle(self):
        """Waits until what was asked for has been drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, expression):
        """The value of an expression of JavaScript; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(describe_exception(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, clip=None):
        """The PNG of the whole document, or of `clip`: x, y, width and height in CSS pixels of the document."""
        content = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = clip or {"x": 0, "y": 0, "width": content["width"], "height": content["height"]}
        # A window as high as the document: what lies outside of the window may not have been drawn.
        self.call("Emulation.setDeviceMetricsOverride", **{**self._size, "height": math.ceil(content["height"])})
        self.settle()
        answer = self.call("Page.captureScreenshot", format="png", clip={**clip, "scale": 1})
        self.call("Emulation.setDeviceMetricsOverride", **self._size)
        return base64.b64decode(answer["data"])

    def close(self):
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    def note(self, method, parameters):
        """Called by the browser for every event of this tab."""
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.errors.append(describe_exception(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert", "warning"):
            values = (str(each.get("value", each.get("description", ""))) for each in parameters["args"])
            self.errors.append(f"console.{parameters['type']}: " + " ".join(values))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])


def describe_exception(details):
    """One line of a script's error and where it stood."""
    thrown = details.get("exception", {})
    text = thrown.get("description") or str(thrown.get("value", details.get("text", "")))
    return f"{text.splitlines()[0] if text else 'error'} (line {details.get('lineNumber', -1) + 1})"


class Browser:
    """A Chromium process, to be used in a `with` statement: it ends with it."""

    def __init__(self, executable):
        self._pages = {}
        self._answers = {}
        self._next = 0
        self._buffer = b""
        self._profile = tempfile.TemporaryDirectory(prefix="gradstab_chromium_", ignore_cleanup_errors=True)
        self._said = tempfile.TemporaryFile()
        # Chromium reads requests from descriptor 3 and writes answers to 4. The ends are moved away from these first.
        ends = [end for pipe in (os.pipe(), os.pipe()) for end in pipe]
        read, self._write, self._read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
        for end in ends:
            os.close(end)

        def connect():
            os.dup2(read, 3)
            os.dup2(write, 4)

        # In a session of its own, so that all of its processes can be ended together.
        self._process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said,
            close_fds=False, preexec_fn=connect, start_new_session=True)
        os.close(read)
        os.close(write)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrowserError):
            self.call("Browser.close", {})
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._said.close()
        self._profile.cleanup()

    def page(self):
        """A new, empty tab."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._pages[session] = page = Page(self, target, session)
        return page

    def call(self, method, parameters, session=None):
        """The answer to one request of the protocol."""
        self._next += 1
        number = self._next
        request = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        try:
            data = json.dumps(request).encode() + b"\0"
            while data:
                data = data[os.write(self._write, data):]
        except BrokenPipeError:
            raise BrowserError(self._why_stopped()) from None
        self.wait(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, done):
        """Reads what Chromium says until `done()` holds."""
        end = time.monotonic() + PATIENCE
        while not done():
            if not select.select([self._read], [], [], max(0, end - time.monotonic()))[0]:
                raise BrowserError(f"Chromium did not answer within {PATIENCE} seconds")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise BrowserError(self._why_stopped())
            *messages, self._buffer = (self._buffer + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]] = message
                elif page := self._pages.get(message.get("sessionId")):
                    page.note(message["method"], message["params"])

    def _why_stopped(self):
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return "Chromium stopped: " + (lines[-1] if lines else "it said nothing")


if __name__ == "__main__":
    found = find_browser()
    print(found or NONE_THERE)
    sys.exit(0 if found else 77)
