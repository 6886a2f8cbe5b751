"""/docs: Swagger UI from our own files, under a policy that lets the page load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from hitherto.errors import UnknownNameError

FOLDER = Path(__file__).parent / "static"
FILES: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def show_docs() -> Response:
    """The page."""
    return FileResponse(FOLDER / "docs.html", media_type="text/html", headers=_HEADERS)


@router.get("/docs/{name}")
def show_asset(name: str) -> Response:
    """One of the page's files."""
    if name not in FILES:
        raise UnknownNameError("file of the docs", name, FILES)
    return FileResponse(FOLDER / name, media_type=FILES[name], headers=_HEADERS)
