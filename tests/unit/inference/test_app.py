import json
import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from functions.inference.app import create_app, unexpected
from functions.inference.serving import Serving
from functions.inference.swagger import ASSETS
from lastmile.errors import LastmileError
from tests.unit.inference.doors import Door, Sent, fill, open_serving, server_door, through_asgi
from tests.unit.inference.test_doors import INFER, post, tensor, v2

ORIGIN = {"origin": "https://app.example"}
PREFLIGHT = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


class Addresses(HTMLParser):
    """Every address that a page names, and every script or style that stands in the page itself."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [value for name, value in attrs if name in ("href", "src") and value]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


@pytest.fixture(scope="module")
def app(serving: Serving) -> Door:
    return through_asgi(create_app(serving))


def test_the_page_works_below_any_prefix(app: Door) -> None:
    page = Addresses(app(Sent("GET", "/docs")).body)
    for prefix in ("", "/stage/api"):
        for address in page.found:
            path = urljoin(f"https://api.example{prefix}/docs", address)
            assert path.startswith(f"https://api.example{prefix}/")
            name = path.removeprefix(f"https://api.example{prefix}")
            if "?" not in name:
                assert app(Sent("GET", name)).status == 200, name
    script = app(Sent("GET", "/docs/page.js")).body.decode()
    documents = re.findall(r'"([\w/]+\.json)"', script)
    assert documents == ["openapi.json", "control/openapi.json", "hooks/openapi.json"]


def test_the_page_runs_under_its_own_policy(app: Door) -> None:
    got = app(Sent("GET", "/docs"))
    policy = dict(rule.strip().split(" ", 1) for rule in got.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    page = Addresses(got.body)
    assert page.inline == []
    assert not [address for address in page.found if ":" in address or address.startswith("/")]


def test_the_page_is_dark_where_the_reader_wants_it(app: Door) -> None:
    script = app(Sent("GET", "/docs/page.js")).body.decode()
    (name,) = re.findall(r'classList\.toggle\("([\w-]+)", dark\.matches\)', script)
    assert 'matchMedia("(prefers-color-scheme: dark)")' in script
    assert f"html.{name} .swagger-ui" in app(Sent("GET", "/docs/swagger-ui.css")).body.decode()


def test_the_page_may_ask_for_a_token_where_tokens_are_given() -> None:
    serving = open_serving({"LASTMILE_TOKEN_URL": "https://id.example:444/oauth2/token"})
    got = through_asgi(create_app(serving))(Sent("GET", "/docs"))
    assert "connect-src 'self' https://id.example:444;" in got.headers["content-security-policy"]


@pytest.mark.parametrize("name", ASSETS)
def test_assets_are_served_by_us(app: Door, name: str) -> None:
    got = app(Sent("GET", f"/docs/{name}"))
    assert got.status == 200
    assert got.headers["content-type"] == ASSETS[name][1]
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "max-age" in got.headers["cache-control"]
    assert len(got.body) > 100


def test_swagger_ui_is_of_a_version_that_reads_openapi_3_1(app: Door) -> None:
    bundle = app(Sent("GET", "/docs/swagger-ui-bundle.js")).body.decode()
    (version,) = re.findall(r'PACKAGE_VERSION:"(\d+)\.', bundle)
    assert int(version) >= 5


def test_no_file_beside_the_assets_is_served(app: Door) -> None:
    for name in ("docs.html", "__init__.py", "../app.py", "..%2fapp.py", ""):
        assert app(Sent("GET", f"/docs/{name}")).status == 404


def test_head_says_what_get_says_without_the_body(app: Door, serving: Serving) -> None:
    for path in ("/health", "/docs", "/openapi.json", "/v2", "/v2/models/digits", "/ping", "/v2/models/digit"):
        for door in (app, through_asgi(server_door(serving))):
            get, head = door(Sent("GET", path)), door(Sent("HEAD", path))
            assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_405_names_the_methods_there_are(app: Door) -> None:
    assert app(Sent("POST", "/v2")).headers["allow"] == "GET, HEAD"
    assert app(Sent("DELETE", INFER)).headers["allow"] == "POST"
    assert app(Sent("GET", "/v1/models/digits:predict")).headers["allow"] == "POST"


def test_what_nobody_foresaw_is_logged_under_an_id_and_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = fill(open_serving())

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(serving.predictor, "resolve", fail)
    for door in (through_asgi(create_app(serving)), through_asgi(server_door(serving))):
        got = door(post(INFER, v2(tensor())))
        said = json.loads(got.body)
        assert (got.status, said["error"], set(said)) == (500, "internal error", {"error", "id"})
        log = capsys.readouterr().err
        assert said["id"] in log
        assert "ZeroDivisionError: a secret" in log
        assert "POST /v2/models/digits/infer" in log


def test_an_unexpected_error_below_the_library_keeps_its_words_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    response = unexpected(LastmileError("s3://bucket/key"), "GET /")
    assert b"bucket" not in response.body
    assert "s3://bucket/key" in capsys.readouterr().err


def doors_with(origins: str) -> list[Door]:
    serving = fill(open_serving({"LASTMILE_CORS_ORIGINS": origins}))
    return [through_asgi(create_app(serving)), through_asgi(server_door(serving))]


def test_without_a_setting_no_page_of_another_origin_may_read(app: Door) -> None:
    for sent in (Sent("GET", "/health", headers=ORIGIN), post(INFER, v2(tensor()), **ORIGIN)):
        assert not [name for name in app(sent).headers if name.startswith("access-control")]
    assert app(Sent("OPTIONS", INFER, headers=PREFLIGHT)).status == 405


def test_origins_may_be_listed() -> None:
    for door in doors_with("https://app.example, https://other.example"):
        for sent in (Sent("GET", "/health", headers=ORIGIN), post(INFER, v2(tensor()), **ORIGIN)):
            got = door(sent)
            assert got.headers["access-control-allow-origin"] == "https://app.example"
            assert "lastmile-prediction-id" in got.headers["access-control-expose-headers"]
            assert got.headers["vary"] == "Origin"
        foreign = door(Sent("GET", "/health", headers={"origin": "https://evil.example"}))
        assert "access-control-allow-origin" not in foreign.headers
        assert foreign.headers["vary"] == "Origin"


def test_preflights_are_answered() -> None:
    for door in doors_with("https://app.example"):
        got = door(Sent("OPTIONS", INFER, headers=PREFLIGHT))
        assert (got.status, got.body) == (204, b"")
        assert got.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in got.headers["access-control-allow-methods"]
        assert "authorization" in got.headers["access-control-allow-headers"]
        assert "inference-header-content-length" in got.headers["access-control-allow-headers"]
        refused = door(Sent("OPTIONS", INFER, headers=PREFLIGHT | {"origin": "https://evil.example"}))
        assert refused.status == 403
        assert "access-control-allow-origin" not in refused.headers
        assert door(Sent("OPTIONS", INFER, headers=ORIGIN)).status == 405


def test_any_origin_may_be_allowed() -> None:
    for door in doors_with("*"):
        got = door(post(INFER, v2(tensor())))
        assert got.headers["access-control-allow-origin"] == "*"
        assert "vary" not in got.headers


def test_errors_can_be_read_across_origins_too() -> None:
    for door in doors_with("https://app.example"):
        for sent in (post(INFER, b"no JSON", **ORIGIN), Sent("GET", "/nowhere", headers=ORIGIN)):
            got = door(sent)
            assert got.status >= 400
            assert got.headers["access-control-allow-origin"] == "https://app.example"
