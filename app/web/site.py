"""What all pages share: static files, languages, templates, and the headers that bound what a page may do."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, cast
from urllib.parse import quote, urlencode, urlsplit

from flask import Blueprint, Flask, Response, abort, current_app, g, request, url_for
from werkzeug.exceptions import HTTPException

from app.errors import Forbidden
from app.web.assets import STATIC, Assets, package_file
from app.web.languages import Language, Languages

EXTENSION: Final = "pickture_web"
LANGUAGE_COOKIE: Final = "pickture_language"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from another host. Photos that have not left the phone are ``blob:`` or
``data:`` addresses, and so are pictures within Bootstrap's style sheet."""

_FOREVER: Final = "public, max-age=31536000, immutable"
_YEAR_S: Final = 365 * 24 * 3600
_VENDOR: Final = {"vendor/bootstrap.css": ("flask_bootstrap", "static/bootstrap5/css/bootstrap.min.css")}
"""Files that come with a package: name here, package, path in it."""

pages = Blueprint("web", __name__, template_folder="templates")


class Site:
    """The parts that pages share, made once an application.

    catch_alls: endpoints that answer, for addresses at which there is nothing, that there is nothing.
    """

    def __init__(self) -> None:
        self.assets = Assets(STATIC, {name: package_file(*place) for name, place in _VENDOR.items()})
        self.languages = Languages()
        self.catch_alls: set[str] = set()


def init_app(app: Flask) -> None:
    """Read static files and languages, teach the templates to translate, and serve the files."""
    app.extensions[EXTENSION] = Site()
    app.register_blueprint(pages)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        translate, translate_count, newstyle=True
    )
    app.jinja_env.globals.update(
        asset=asset_url, assets=asset_urls, language=language, languages=site_languages, in_language=address_in_language
    )


def site_of(app: Flask) -> Site:
    """The parts of an application."""
    return cast(Site, app.extensions[EXTENSION])


def site() -> Site:
    """The parts of the application that handles this request."""
    return site_of(current_app)


def site_languages() -> Languages:
    """Every language there is."""
    return site().languages


def language() -> Language:
    """The language of this request: ``?lang=``, the cookie, or what the browser prefers."""
    known: Language | None = g.get("language")
    if known is None:
        known = g.language = site().languages.choose(
            request.args.get("lang"), request.cookies.get(LANGUAGE_COOKIE), request.accept_languages
        )
    return known


def translate(message: str) -> str:
    """A message of the code in the language of this request."""
    return language().translations.gettext(message)


def translate_count(one: str, many: str, count: int) -> str:
    """A message with a number, in the form that the language has for it."""
    return language().translations.ngettext(one, many, count)


def address_in_language(tag: str) -> str:
    """The address of this page in another language; what else the address asks for stays.

    Of a page that answers a form, whose own address may take nothing but forms: the address where the form is.
    """
    asked = [(name, value) for name, value in request.args.items(multi=True) if name != "lang"]
    place = "" if request.method in ("GET", "HEAD") else quote(_nearest_page(request.path), safe="/")
    return f"{place}?{urlencode([*asked, ('lang', tag)])}"


def methods_of(path: str) -> list[str]:
    """How a path of this host can be asked for: ``GET``, ``POST``, both or not at all."""
    addresses = current_app.create_url_adapter(request)
    assert addresses is not None
    found = []
    for method in ("GET", "POST"):
        with suppress(HTTPException):
            rule, _ = addresses.match(path, method, return_rule=True)
            if rule.endpoint not in site().catch_alls:
                found.append(method)
    return found


def _nearest_page(path: str) -> str:
    """The path itself, or else the one nearest above it, that there is a page at."""
    while "GET" not in methods_of(path) and path.strip("/"):
        path = path.rpartition("/")[0]
    return path or "/"


def asset_url(name: str) -> str:
    """Address of a static file."""
    return url_for("web.asset", version=site().assets.version, name=name)


def asset_urls(prefix: str, suffix: str) -> list[str]:
    """Addresses of the static files in a folder, e.g. of the modules that a page will ask for."""
    return [asset_url(name) for name in site().assets.names(prefix, suffix)]


def protect(response: Response) -> Response:
    """The headers of a page; for ``Blueprint.after_request``. A chosen language is remembered."""
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", POLICY)  # a page may have a stricter one
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        # Unlike `no-referrer` it leaves forms their Origin, by which they are told from other sites' forms.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Vary"] = "Accept-Language, Cookie"
        if request.args.get("lang") == language().tag:
            response.set_cookie(
                LANGUAGE_COOKIE, language().tag, _YEAR_S, secure=request.is_secure, httponly=True, samesite="Lax"
            )
    return response


def require_same_origin() -> None:
    """Refuse what another site's page makes a browser send (CSRF). What is no browser sends no Origin, and passes.

    :raise Forbidden: the request comes from a page of another origin.
    """
    origin = request.headers.get("Origin")
    from_elsewhere = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if from_elsewhere or (origin is not None and urlsplit(origin).netloc != request.host):
        raise Forbidden("this address is for the pages of this host alone")


@pages.get("/web/<version>/<path:name>")
def asset(version: str, name: str) -> Response:
    """A static file; its address changes with the content, so that it may be kept for ever."""
    found = site().assets.find(version, name)
    if found is None:
        abort(404)
    gzipped = found.gzipped if request.accept_encodings.quality("gzip") else None
    response = Response(gzipped or found.data, content_type=found.content_type)
    if gzipped is not None:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = _FOREVER
    return response
