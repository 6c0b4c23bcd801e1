"""The API's documentation for people: Swagger UI, served by us, nothing from elsewhere."""

from importlib.resources import files
from urllib.parse import urlsplit

from lastmile.protocols.messages import Response

PAGE = files("functions.inference") / "page"
LIBRARY = files("fastapi_swagger") / "resources"
ASSETS = {
    "swagger-ui-bundle.js": (LIBRARY, "text/javascript; charset=utf-8"),
    "swagger-ui.css": (LIBRARY, "text/css; charset=utf-8"),
    "favicon-32x32.png": (LIBRARY, "image/png"),
    "page.js": (PAGE, "text/javascript; charset=utf-8"),
    "page.css": (PAGE, "text/css; charset=utf-8"),
}
CACHE_SECONDS = 3600


class Swagger:
    """The page and its assets. The browser may load and call nothing but this API and the place that gives tokens."""

    names = tuple(ASSETS)

    def __init__(self, *, token_url: str | None) -> None:
        self._token_origin = "" if token_url is None else " {0.scheme}://{0.netloc}".format(urlsplit(token_url))

    def page(self) -> Response:
        # Swagger UI's style sheet holds its pictures as data: addresses.
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self'{self._token_origin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "cache-control": f"max-age={CACHE_SECONDS}",
        }
        return Response(200, headers, (PAGE / "docs.html").read_bytes())

    def asset(self, name: str) -> Response:
        folder, content_type = ASSETS[name]
        headers = {"content-type": content_type, "cache-control": f"public, max-age={CACHE_SECONDS}"}
        return Response(200, headers, (folder / name).read_bytes())
