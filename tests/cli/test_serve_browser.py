"""The page of ``leo serve`` in a browser."""

import pytest

from leo_cli.serve.session import Session
from tests.cli import chromium
from tests.cli.chromium import Page
from tests.cli.serving import command, free_direction, make_session, serving

pytest.importorskip("websockets")


@pytest.fixture
def session(run) -> Session:
    return make_session(run)


@pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")
class TestInBrowser:
    def test_clicks_and_keys(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.click("#goals li:nth-child(4) .go")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
            page.evaluate("document.activeElement.blur()")
            page.press(" ")
            page.wait("document.querySelector('#play').textContent === 'Play'")
            page.click("#goals li:nth-child(6) .append")
            page.wait("document.querySelectorAll('#chain li').length === 2")
            page.evaluate("document.activeElement.blur()")
            action, goal = free_direction(session)
            page.press("k")
            page.press("wdsa"[action])
            page.wait(f"document.querySelector('[data-achieved] .name').textContent === '{session.config.goals[goal]}'")
            page.press("Escape")
            page.press("r")
            page.wait("document.querySelector('.outcome').textContent.endsWith('0 steps')")
            page.press(" ")
            page.wait("document.querySelector('#play').textContent === 'Pause'")
            assert session.is_playing and page.problems == []

    @pytest.mark.parametrize("canvas", ["canvas.frame", "canvas.goal-map"])
    def test_a_click_on_a_cell(self, session, canvas):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait(f"document.querySelector('.outcome')?.textContent && document.querySelector('{canvas}').height > 200")
            page.click(canvas)  # in the middle: cell 2,2 of 5 x 5
            page.wait("document.querySelector('.outcome').textContent.includes('cell/2,2')")
            assert page.problems == []

    def test_search(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.evaluate("document.querySelector('#search').focus()")
            page.write("cell/4,")
            found = [name for name in session.config.goals if name.startswith("cell/4,")]
            page.wait(f"document.querySelectorAll('#goals li').length === {len(found)}")
            page.press("Enter")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{found[0]}')")

    def test_a_lost_connection_comes_back(self, session):
        command(session, "play", False)
        with serving(session) as address:
            port = int(address.rpartition(":")[2].rstrip("/"))
            page = Page(address).__enter__()
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.click("#goals li:nth-child(4) .go")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
        try:
            page.wait("document.body.classList.contains('lost')")
            page.press(".")
            page.wait("document.querySelector('#message').textContent.startsWith('Not sent')")
            with serving(session, port=port):
                page.wait("document.querySelector('#status').textContent === 'connected'")
                page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
        finally:
            page.__exit__()

    def test_two_tabs(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as one, Page(address) as other:
            for page in (one, other):
                page.wait("document.querySelectorAll('#goals li').length === 17")
            one.click("#goals li:nth-child(4) .go")
            other.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
            other.click("#goals li:nth-child(5) .go")
            one.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[4]}')")

    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
    def test_side_by_side_without_overflow(self, run, baseline, width, dark):
        session = make_session(run, baseline)
        with serving(session) as address, Page(address, width=width, dark=dark) as page:
            page.wait("document.querySelectorAll('.agent').length === 2")
            assert page.evaluate("document.documentElement.scrollWidth") == width and page.problems == []
            assert {url.split(":")[0] for url in page.requests} <= {"http", "data"}
            assert all(url.startswith((address, "data:")) for url in page.requests)
