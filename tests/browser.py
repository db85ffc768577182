"""Headless Chromium, driven by selenium, for the tests of the report page."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESKTOP = (390, 844), (1280, 900)


@contextmanager
def started() -> Iterator["Browser"]:
    """One browser; the tests are skipped, saying so, where there is none."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        made.set_script_timeout(60)
        yield Browser(made)
    finally:
        made.quit()


class Browser:
    """What a reader does on one page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, fragment: str = "", *, size: tuple[int, int] = DESKTOP) -> None:
        """Load a page from disk anew, and wait until its charts are drawn."""
        self.media()
        self.scripts(enabled=True)
        self.size(*size)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(f"file://{page}{fragment}")
        self.wait("document.documentElement.dataset.drawn >= 1")

    def js(self, script: str, *arguments: Any) -> Any:
        """The value of an expression."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.js(condition):
            assert time.monotonic() < end, f"{condition} never came true: {self.messages()}"
            time.sleep(0.02)

    def redrawn(self, act: str, *arguments: Any) -> None:
        """Do something, and wait until the charts are drawn again."""
        before = int(self.js("document.documentElement.dataset.drawn"))
        self.driver.execute_script(act, *arguments)
        self.wait(f"document.documentElement.dataset.drawn > {before}")

    def choose(self, name: str, value: str) -> None:
        """Write into a field of the page, or choose in it, as a reader would."""
        self.redrawn(
            "const field = document.querySelector(`[data-state=${arguments[0]}]`);"
            "field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}));",
            name, value,
        )  # fmt: skip

    def click(self, css: str) -> None:
        """Press the mouse on the middle of the first such element."""
        x, y = self.js(
            "(each => { each.scrollIntoView({block: 'center'});"
            " const {x, y, width, height} = each.getBoundingClientRect();"
            " return [x + width / 2, y + height / 2]; })(document.querySelector(arguments[0]))",
            css,
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def messages(self) -> list[str]:
        """What the console holds since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def size(self, width: int, height: int) -> None:
        """The window's size, as a phone's where it is narrow."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )

    def media(self, *, dark: bool = False, printed: bool = False) -> None:
        """A dark screen, or paper."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        given = {"media": "print" if printed else "screen", "features": [scheme]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", given)

    def scripts(self, *, enabled: bool) -> None:
        """Whether pages may run scripts."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not enabled})

    def shown(self, css: str) -> int:
        """How many elements are displayed."""
        return int(self.js(
            "[...document.querySelectorAll(arguments[0])]"
            ".filter(each => each.getClientRects().length).length", css,
        ))  # fmt: skip

    def texts(self, css: str) -> list[str]:
        """The texts of the elements that are displayed."""
        return list(self.js(
            "[...document.querySelectorAll(arguments[0])]"
            ".filter(each => each.getClientRects().length).map(each => each.textContent)", css,
        ))  # fmt: skip

    def shot(self, file: Path, *, height: int | None = None) -> None:
        """A picture of the whole page, or of its top."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"],
                "scale": 1}  # fmt: skip
        taken = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        file.write_bytes(base64.b64decode(taken["data"]))

    def axe(self, source: Path) -> list[str]:
        """What axe-core finds that is serious or critical."""
        self.driver.execute_script(source.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"
        )
        return [
            json.dumps([each["id"], [node["target"] for node in each["nodes"]][:5]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
