"""Reads forms of the pages about people and tables, and leads on after them.

Not which forms there are. They are read in the handlers and not declared, so that nothing of a
request's body is looked at before it is known whose it is.
"""

from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData, UploadFile

from poleward_fleet.domain.errors import InvalidError


@dataclass(frozen=True, slots=True)
class Form:
    """What somebody filled in."""

    fields: FormData

    def text(self, name: str) -> str:
        """Return a text; empty when it is not there."""
        value = self.fields.get(name, "")
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return the texts of ticked boxes."""
        return [value for value in self.fields.getlist(name) if isinstance(value, str)]

    def number(self, name: str) -> int:
        """Return a whole number; 0 when it is empty."""
        return number_in(self.text(name) or "0")

    async def content(self, name: str) -> tuple[str, bytes]:
        """Return name and content of a file.

        Raises:
            InvalidError: None was chosen.
        """
        file = self.fields.get(name)
        if not isinstance(file, UploadFile) or not file.filename:
            raise InvalidError.of("choose_file")
        return file.filename, await file.read()


async def form_of(request: Request) -> Form:
    """Read the form of a request."""
    return Form(await request.form())


def number_in(text: str) -> int:
    """Return a whole number.

    Raises:
        InvalidError: It is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidError.of("whole_number", text=text[:20])
    return int(text)


def gone_on(request: Request, path: str) -> Response:
    """Lead on to a page, whether the browser or htmx sent the form."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"hx-redirect": path})
    return RedirectResponse(path, status_code=303)
