"""The service's pages in headless Chromium.

    apt-get install chromium chromium-driver
    pip install selenium==4.40.0
    python -m pytest tests/serving/check_page.py

Not one of the tests that are collected by themselves, because a browser is no Python package;
where one is missing this fails.
"""

import contextlib
import json
import re
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from helpers.serving import NEVER, FakeModel, running

FIRST, SECOND = "花呗怎么还款", "花呗如何还钱呢"  # their lengths differ by one: score 0.5


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for name in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-first-run"):
        options.add_argument("--" + name)
    for name in ("background-networking", "component-update"):
        options.add_argument("--disable-" + name)
    # Both are named, or else Selenium would look for downloads.
    options.binary_location = shutil.which("chromium") or pytest.fail("chromium is not installed")
    driver = shutil.which("chromedriver") or pytest.fail("chromium-driver is not installed")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with contextlib.closing(_Browser(webdriver.Chrome(options, Service(driver)))) as started:
        yield started


class _Browser:
    def __init__(self, driver):
        self.driver = driver

    def open(self, service, path="/"):
        self.driver.get("http://%s:%d%s" % (*service.address, path))

    def element(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        return self.element(name).text

    def type(self, first, second):
        for name, text in (("text_a", first), ("text_b", second)):
            self.element(name).clear()
            self.element(name).send_keys(text)

    def wait(self, condition):
        WebDriverWait(self.driver, NEVER).until(lambda _: condition())

    def complaints(self):
        """Errors and warnings in the console: of scripts, of forbidden or missing resources."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]

    def close(self):
        self.driver.quit()


def test_two_sentences_are_scored(browser):
    with running() as service:
        browser.open(service)
        browser.type(FIRST, SECOND)
        browser.element("compare").click()
        browser.wait(lambda: browser.text("score"))
        assert browser.text("score") == "0.5000"
        latency = re.fullmatch(
            r"(\d+\.\d) ms, of which the model took (\d+\.\d) ms", browser.text("latency")
        )
        assert float(latency.group(2)) <= float(latency.group(1))
        assert browser.element("meter").is_displayed()
        assert service.model.batches == [[(FIRST, SECOND)]]
        assert browser.text("error") == ""
        assert browser.text("model") == "Model: fake ·"

        browser.type(FIRST, FIRST)
        browser.element("text_b").send_keys(Keys.ENTER)
        browser.wait(lambda: browser.text("score") == "1.0000")
        assert browser.complaints() == []


def test_errors_are_shown(browser):
    with running() as service:
        browser.open(service)
        browser.type(FIRST, " ")
        browser.element("compare").click()
        browser.wait(lambda: browser.text("error"))
        assert browser.text("error") == '"text_b" is empty; expected a text.'
        assert browser.text("score") == ""
        browser.type(FIRST, SECOND)  # and it goes on
        browser.element("compare").click()
        browser.wait(lambda: browser.text("score") == "0.5000")
        assert browser.text("error") == ""
    browser.element("compare").click()
    browser.wait(lambda: browser.text("error"))
    assert browser.text("error").startswith("The service does not answer")
    browser.complaints()


def test_model_without_scores(browser):
    with running(FakeModel(labels=["a", "b", "c"], score_column=None)) as service:
        browser.open(service)
        browser.wait(lambda: browser.text("error"))
        message = "This model does not score pairs; it serves /classify and /embed."
        assert browser.text("error") == message


def test_markup_is_text(browser):
    """Texts, names and messages never become elements."""
    with running(FakeModel(name="<img src=x onerror=alert(1)>")) as service:
        browser.open(service)
        browser.wait(lambda: browser.text("model"))
        assert browser.text("model") == "Model: <img src=x onerror=alert(1)> ·"
        assert browser.complaints() == []


def test_docs(browser):
    with running() as service:
        browser.open(service, "/docs")
        browser.wait(lambda: browser.driver.find_elements(By.TAG_NAME, "h2"))
        titles = [element.text for element in browser.driver.find_elements(By.TAG_NAME, "h2")]
        assert titles == [
            "POST /similarity",
            "POST /classify",
            "POST /embed",
            "GET /health",
            "GET /metrics",
        ]
        section = browser.driver.find_element(By.TAG_NAME, "section")
        section.find_element(By.TAG_NAME, "button").click()
        answer = section.find_elements(By.TAG_NAME, "pre")[-1]
        browser.wait(lambda: answer.text)
        status, body = answer.text.split("\n")
        assert re.fullmatch(r"200 after \d+\.\d ms", status)
        assert json.loads(body) == {"score": 1.0}
        assert browser.complaints() == []
