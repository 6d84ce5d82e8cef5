"""The page's main paths in Firefox: the tests of Chromium, run again."""

import csv
import io
import shutil

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from . import test_app, test_app_tasks
from .test_app import AXE, PATIENCE, address, context, folder, page, playwright
from .test_app_tasks import boxes, boxes_address, detecting, forecasting, series, series_address

__all__ = [  # fixtures
    "address", "boxes", "boxes_address", "context", "detecting", "folder", "forecasting", "page",
    "playwright", "series", "series_address",
]  # fmt: skip

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.xdist_group("app"),
    pytest.mark.skipif(FIREFOX is None, reason="needs Firefox (apt-get install firefox-esr)"),
    pytest.mark.skipif(not AXE.is_file(), reason="needs the page's node packages (make app)"),
]


SAVE = """() => new Promise((resolve) => {
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    URL.createObjectURL = make;
    blob.text().then(resolve);
    return make.call(URL, blob);
  };
  document.getElementById("csv").click();
})"""


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Browser:
    return playwright.firefox.launch(
        channel="moz-firefox",
        executable_path=FIREFOX,
        firefox_user_prefs={  # a camera
            "media.navigator.streams.fake": True,
            "media.navigator.permission.disabled": True,
        },
    )


@pytest.fixture(autouse=True)
def saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read what the page saves as CSV: Playwright is not told when Firefox saves a blob."""

    def answers(page: Page) -> list[dict[str, str]]:
        expect(page.locator("#csv")).to_be_enabled(timeout=PATIENCE)
        return list(csv.DictReader(io.StringIO(page.evaluate(SAVE), newline="")))

    monkeypatch.setattr(test_app, "answers", answers)
    monkeypatch.setattr(test_app_tasks, "answers", answers)


test_pictures = test_app.test_pictures_of_all_kinds_get_the_answers_that_python_gives
test_no_picture = test_app.test_one_that_is_no_picture_does_not_stop_the_others
test_undo = test_app.test_undo_takes_back_the_last_action_and_reset_all
test_watched = test_app.test_watched_classes_are_shown_with_every_picture
test_cifar_100 = test_app.test_a_plain_export_of_cifar_100_runs
test_shift = test_app.test_the_picture_is_shifted_and_the_answer_follows
test_not_sure = test_app.test_not_sure_below_the_threshold
test_model_from_disk = test_app.test_a_model_from_disk_brings_its_own_classes
test_languages = test_app.test_english_and_russian
test_keyboard = test_app.test_the_keyboard_is_enough
test_offline = test_app.test_it_answers_offline_after_the_first_visit
test_neighbour = test_app.test_another_program_on_the_same_port_is_left_alone
test_static_host = test_app.test_any_static_host_serves_it
test_damaged_download = test_app.test_a_damaged_download_is_noticed
test_server_gone = test_app.test_the_server_is_gone
test_no_model = test_app.test_the_server_has_no_model
test_wrong_model = test_app.test_a_wrong_model_is_refused_and_the_old_one_stays
test_no_violation = test_app.test_no_violation_of_accessibility_rules
test_boxes = test_app_tasks.test_boxes_are_drawn_where_python_finds_them
test_boxes_shifted = test_app_tasks.test_boxes_follow_a_shift_and_an_undo
test_forecast = test_app_tasks.test_a_forecast_is_that_of_python
test_no_series = test_app_tasks.test_what_is_no_series_is_told_in_a_sentence
test_steps = test_app_tasks.test_steps_are_those_of_pandas
