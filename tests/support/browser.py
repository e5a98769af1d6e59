"""A real browser, Debian's Chromium, driven over its own protocol: what it shows, says, asks for and saves.

Nothing of it reaches the network: every host is mapped to nowhere.
"""

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium here: apt-get install chromium fonts-noto-core fonts-noto-cjk; no page was looked at"
WAIT_S = 60.0


def find_browser() -> str | None:
    """Give the path of an installed Chromium."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection, folder: Path) -> None:
        self._connection = connection
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and keep what it says meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        self._connection.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while True:
            answer = json.loads(self._connection.recv(timeout=WAIT_S))
            if answer.get("id") != self._number:
                self._events.append(answer)
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def open(self, file: Path, *, width: int = 1280, height: int = 900, theme: str = "light", query: str = "") -> None:
        """Open a file and wait until the page says that it is ready."""
        self.show(width=width, height=height, theme=theme)
        self._events.clear()
        self.call("Page.navigate", url=file.absolute().as_uri() + query)
        self.wait("document.documentElement?.dataset.ready === 'true'")

    def show(self, *, width: int = 1280, height: int = 900, theme: str = "light") -> None:
        """Set the window's size and the system's theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def run(self, script: str) -> Any:
        """Give the value of an expression, waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + WAIT_S
        while not self.run(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition}; the page said: {self.complaints()}")

    def press(self, key: str) -> None:
        """Press and release a key."""
        named = {"Enter": "\r"}.get(key)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **({"text": named} if named else {}))

    def click_at(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save a picture, of the whole page unless only the window is asked for."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """Give errors and warnings that the page or the browser wrote, and what was thrown."""
        thrown = [json.dumps(event["params"])[:1000] for event in self._of("Runtime.exceptionThrown")]
        logged = [event["params"]["entry"] for event in self._of("Log.entryAdded")]
        spoken = [event["params"] for event in self._of("Runtime.consoleAPICalled")]
        return [
            *thrown,
            *(entry["text"] for entry in logged if entry["level"] in {"error", "warning"}),
            *(json.dumps(call["args"]) for call in spoken if call["type"] in {"error", "warning", "assert"}),
        ]

    def requests(self) -> list[str]:
        """Give the addresses that were asked for since the page was opened, data and blobs left out."""
        addresses = [event["params"]["request"]["url"] for event in self._of("Network.requestWillBeSent")]
        return [address for address in addresses if not address.startswith(("data:", "blob:"))]

    def saved(self, name: str) -> Path:
        """Wait for a download and give its file."""
        path, deadline = self.downloads / name, time.monotonic() + WAIT_S
        while not path.exists():
            self.run("1")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{name} was not saved; there are {[file.name for file in self.downloads.iterdir()]}"
                )
        return path

    def _of(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self._events if event.get("method") == method]


@contextlib.contextmanager
def opened_browser(program: str) -> Iterator[Page]:
    """Start a browser without a window, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        command = [
            program,
            "--headless=new",
            # Containers have neither the rights for the sandbox nor room in /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder / 'profile'}",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_address(folder / "profile", process), max_size=None, compression=None) as connection:
                yield Page(connection, folder)
        finally:
            process.terminate()
            process.wait(timeout=WAIT_S)


def _address(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait until the browser says where it listens."""
    file, deadline = profile / "DevToolsActivePort", time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise TimeoutError(f"the browser did not say where it listens; it {'runs' if process.poll() is None else 'ended'}")
