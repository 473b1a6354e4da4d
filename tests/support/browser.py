"""A browser for tests of pages."""

import json
import os
import subprocess


class Browser:
    """Headless Chromium, spoken to through a pipe in the DevTools protocol: nothing listens on a
    port.
    """

    def __init__(self, program, folder):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        options = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking"
        )
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{to_browser} 4>&{from_browser}',
                "bash",
                program,
                *options.split(),
                "--remote-debugging-pipe",
                f"--user-data-dir={folder}",
                "about:blank",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._count, self._rest = 0, b""
        targets = self.ask("Target.getTargets")["targetInfos"]
        (target,) = [one["targetId"] for one in targets if one["type"] == "page"]
        self._session = {
            "sessionId": self.ask("Target.attachToTarget", targetId=target, flatten=True)[
                "sessionId"
            ]
        }

    _session: dict[str, str] = {}  # noqa: RUF012

    def ask(self, method, **parameters):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = os.read(self._read, 65536)
                assert part, "the browser is gone"
                self._rest += part
            answer, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address):
        self.ask("Page.enable")
        self.ask("Page.navigate", url=address)
        while (
            self.value("document.readyState") != "complete"
            or self.value("location.href") != address
        ):
            pass

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def page_width(self, width, height=900):
        """Width of the page in a window of this width: larger if something stands out of it."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=True,
        )
        return self.value("document.documentElement.scrollWidth")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def close(self):
        self.ask("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._write)
        os.close(self._read)
