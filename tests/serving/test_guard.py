"""Who may ask the server: nobody under a foreign name, from a foreign page, without the token, or with too much."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest
from tests.served import TOKEN, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served") / "run") as running:
        yield running


def ask(server, method="GET", path="/api/about", body=None, **headers):
    """One request as it goes over the wire: status, headers, text. `None` leaves out a header."""
    place = urlsplit(server.address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    sent = {"Authorization": f"Bearer {TOKEN}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def test_with_the_token_it_answers(server):
    status, headers, text = ask(server)
    assert status == 200
    assert '"model":"plain"' in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer é"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/about"), ("POST", "/api/audit"), ("DELETE", "/api/jobs/1")])
def test_without_the_token_it_does_not(server, method, path, authorization):
    given = authorization.encode() if authorization else None
    assert ask(server, method, path, Authorization=given)[0] == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_a_foreign_name_is_refused(server, host):
    assert ask(server, Host=host)[0] == 400
    assert ask(server, path="/", Host=host)[0] == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_foreign_page_is_refused(server, origin):
    assert ask(server, "POST", "/api/audit", Origin=origin)[0] == 403
    assert ask(server, Origin=origin)[0] == 403


def test_its_own_page_may_ask(server):
    assert ask(server, Origin=server.address)[0] == 200
    assert ask(server, Sec_Fetch_Site="same-origin")[0] == 200
    assert ask(server, Sec_Fetch_Site="cross-site")[0] == 403


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(server):
    path = f"/m/abc?token={TOKEN.replace(' ', '%20')}&technique=words"
    status, headers, _ = ask(server, path=path, Authorization=None)
    assert (status, headers["location"]) == (303, "/m/abc?technique=words")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ask(server, Authorization=None, Cookie=cookie.split(";")[0])[0] == 200
    assert ask(server, path="/?token=wrong", Authorization=None)[0] == 401
    assert ask(server, path=f"//evil.example/?token={TOKEN.replace(' ', '%20')}")[1]["location"].startswith("/evil")


def test_a_body_that_is_too_long_is_refused(server):
    assert ask(server, "POST", "/api/audit", Content_Length=str(2**40))[0] == 413
    assert ask(server, "POST", "/api/audit", Content_Length="-1")[0] in {400, 413}


@pytest.mark.parametrize(
    "path", ["/assets/../../app.py", "/assets/%2e%2e/%2e%2e/app.py", "/assets/..%2f..%2fapp.py", "//etc/passwd"]
)
def test_no_path_leaves_the_page(server, path):
    status, _, text = ask(server, path=path)
    assert status in {404, 200}
    assert "def make_app" not in text
    assert "root:" not in text


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "127.0.0.1:x", "[", "localhost:-1"])
def test_a_name_that_is_no_name_is_refused(server, host):
    assert ask(server, Host=host, Authorization=None)[0] == 400
