"""Serves the gateway's requests on the objects: read, write, execute, observe, discover, composite.

Not the registration, and no object's meaning. Only here do errors become CoAP codes.

Objects are duck-typed: `ID`, `TABLE` (see `node.lwm2m.values`), `ACTUATORS` (resources whose write
or execution moves something in the street), `read(resource)` (None for a value there is not now),
`write(values)` with all resources of one request at once, `execute(resource, arguments)`. `write`
and `execute` raise `node.lwm2m.refusal.RefusedError`. Every object has the one instance 0.
"""

from micropython import const

from node.coap import message
from node.codec.cbor import CborError
from node.codec.senml import PackWriter
from node.lwm2m import refusal, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_BUFFER_BYTES = const(384)
_BUFFER_MAX_BYTES = const(3072)
_GUARD = const(26244)  # our object "Command": the deadline that guards the rest of the same write
_DEADLINE = const(0)


class AnswerError(Exception):
    """A request ends with this CoAP code; `args[1]` is the diagnostic text."""


class Observed:
    """One observation and what it was last told."""

    def __init__(self, handle: "Any", path: "tuple[int, ...]", payload: bytes) -> None:
        self.handle = handle
        self.path = path
        self.payload = payload


class Dispatcher:
    """Holds the objects and answers requests.

    - Everything needs a security context; a plain request gets 4.01 with nothing else.
    - The first actuator command after boot is challenged with Echo (RFC 8613, 7.3), and a write
      that carries a deadline (/26244/0/0) in the past is refused with 4.03.

    Args:
        objects: All objects the node shows.
        unix_s: Gives Unix time, 0 while unknown.
    """

    def __init__(self, objects: "list[Any]", unix_s: "Callable[[], int]") -> None:
        self._objects = {thing.ID: thing for thing in objects}
        self._unix_s = unix_s
        self._observed: list[Observed] = []
        self._is_fresh = False
        self.endpoint: Any = None

    def attach(self, endpoint: "Any") -> None:
        """Serve a new endpoint; observations made through the old one are forgotten."""
        self.endpoint = endpoint
        self._observed = []

    def links(self) -> "list[tuple[str, str]]":
        """List the objects for Register (OMA LwM2M TS Core 1.1, 6.2.1)."""
        entries = [("/", 'rt="oma.lwm2m";ct=112')]
        for number in sorted(self._objects):
            if any("R" in entry or "W" in entry for entry in self._objects[number].TABLE.values()):
                entries.append(("/%d/0" % number, ""))
        return entries

    async def handle(self, request: "Any") -> "message.Response":
        """Answer a request; never raises but for cancellation."""
        if request.context is None:
            return message.Response(message.UNAUTHORIZED)
        try:
            return self._answer(request)
        except AnswerError as error:
            return message.Response(error.args[0], error.args[1].encode())
        except values.UnsupportedFormatError:
            return message.Response(message.UNSUPPORTED_FORMAT)
        except values.BadValueError as error:
            return message.Response(message.BAD_REQUEST, error.args[0].encode())
        except refusal.RefusedError as refused:
            is_value = refused.args[0] == refusal.VALUE
            code = message.BAD_REQUEST if is_value else message.METHOD_NOT_ALLOWED
            return message.Response(code, refused.text.encode())

    def changed(self, object_id: "int | None" = None) -> None:
        """Notify whoever observes something that is different now.

        Args:
            object_id: Only look at observations of this object; None for all.
        """
        for observed in list(self._observed):
            if not observed.handle.is_active:
                self._observed.remove(observed)
            elif object_id is None or observed.path[0] == object_id:
                payload = self._encode([observed.path])
                if payload != observed.payload:
                    observed.payload = payload
                    self.endpoint.notify(observed.handle, payload, values.FORMAT_SENML_CBOR)

    def thing(self, object_id: int) -> "Any":
        """Give an object, for reports."""
        return self._objects[object_id]

    def _answer(self, request: "Any") -> "message.Response":
        try:
            path = values.ids(request.path)
        except values.BadValueError:
            raise AnswerError(message.NOT_FOUND, "")
        code = request.code
        if code == message.GET and path:
            if request.accept == values.FORMAT_LINK:
                return self._discover(path)
            return self._read(request, path)
        if code == message.FETCH and not path:
            return self._content(request, values.read_names(request.payload))
        if (code == message.PUT and len(path) >= 2) or (code == message.POST and len(path) == 2):
            return self._write(request, path)
        if code == message.IPATCH and not path:
            return self._write(request, path)
        if code == message.POST and len(path) == 3:
            return self._execute(request, path)
        raise AnswerError(message.METHOD_NOT_ALLOWED, "")

    def _read(self, request: "Any", path: "tuple[int, ...]") -> "message.Response":
        if request.accept == values.FORMAT_TEXT and len(path) == 3:
            kind, value = self._readable(path)
            return message.Response(
                message.CONTENT, values.to_text(kind, value), values.FORMAT_TEXT
            )
        response = self._content(request, [path])
        if request.observe == 0:
            handle = self.endpoint.observe(request)
            # The endpoint bounds observations; over the bound this is a plain read.
            self._observed = [known for known in self._observed if known.handle.is_active]
            if handle is not None:
                self._observed.append(Observed(handle, path, bytes(response.payload)))
        return response

    def _content(self, request: "Any", paths: "list[tuple[int, ...]]") -> "message.Response":
        if request.accept not in (None, values.FORMAT_SENML_CBOR):
            raise AnswerError(message.NOT_ACCEPTABLE, "")
        for path in paths:
            if len(path) == 3:
                self._readable(path)
            elif not path or len(path) > 3:
                raise AnswerError(message.BAD_REQUEST, "")
            else:
                self._find(path)
        return message.Response(message.CONTENT, self._encode(paths), values.FORMAT_SENML_CBOR)

    def _encode(self, paths: "list[tuple[int, ...]]") -> bytes:
        size = _BUFFER_BYTES
        while True:
            buffer = bytearray(size)
            writer = PackWriter(buffer)
            try:
                writer.begin()
                for path in paths:
                    thing = self._objects[path[0]]
                    base = b"/%d/0/" % path[0]
                    for resource in sorted(thing.TABLE) if len(path) < 3 else path[2:]:
                        if "R" not in thing.TABLE[resource]:
                            continue
                        value = thing.read(resource)
                        if value is not None:
                            kind = thing.TABLE[resource][-1]
                            values.add_record(writer, base, b"%d" % resource, kind, value)
                return bytes(buffer[: writer.end()])
            except CborError:
                size *= 2
                if size > _BUFFER_MAX_BYTES:
                    raise AnswerError(message.INTERNAL_ERROR, "answer too large")

    def _discover(self, path: "tuple[int, ...]") -> "message.Response":
        from node.codec.link_format import links

        thing = self._find(path)
        entries = [("/%d/0" % path[0], "")]
        for resource in sorted(thing.TABLE):
            if len(path) < 3 or resource == path[2]:
                entries.append(("/%d/0/%d" % (path[0], resource), ""))
        return message.Response(
            message.CONTENT, links(entries[1:] if len(path) == 3 else entries), values.FORMAT_LINK
        )

    def _write(self, request: "Any", path: "tuple[int, ...]") -> "message.Response":
        by_object: dict[int, dict[int, Any]] = {}
        for target, encoding, raw in values.read_writes(
            path, request.content_format, request.payload
        ):
            thing = self._find(target)
            entry = thing.TABLE[target[2]]
            if "W" not in entry:
                raise AnswerError(message.METHOD_NOT_ALLOWED, "read only")
            value = values.convert(entry[-1], encoding, raw)
            by_object.setdefault(target[0], {})[target[2]] = value
        if not by_object:
            raise AnswerError(message.BAD_REQUEST, "nothing to write")
        for object_id, written in by_object.items():
            for resource in written:
                if resource in self._objects[object_id].ACTUATORS and self._is_stale(request):
                    return self.endpoint.challenge(request)  # type: ignore[no-any-return]
        guard = by_object.pop(_GUARD, {})
        now = self._unix_s()
        if _DEADLINE in guard and now and now > guard[_DEADLINE]:
            raise AnswerError(message.FORBIDDEN, "deadline passed")
        for object_id, written in by_object.items():
            self._objects[object_id].write(written)
            self.changed(object_id)
        return message.Response(message.CHANGED)

    def _execute(self, request: "Any", path: "tuple[int, ...]") -> "message.Response":
        thing = self._find(path)
        if "E" not in thing.TABLE[path[2]]:
            raise AnswerError(message.METHOD_NOT_ALLOWED, "")
        if path[2] in thing.ACTUATORS and self._is_stale(request):
            return self.endpoint.challenge(request)  # type: ignore[no-any-return]
        thing.execute(path[2], bytes(request.payload))
        self.changed(path[0])
        return message.Response(message.CHANGED)

    def _is_stale(self, request: "Any") -> bool:
        self._is_fresh = self._is_fresh or request.is_fresh
        return not self._is_fresh

    def _find(self, path: "tuple[int, ...]") -> "Any":
        thing = self._objects.get(path[0])
        if thing is None or (len(path) > 1 and path[1] != 0):
            raise AnswerError(message.NOT_FOUND, "")
        if len(path) > 2 and path[2] not in thing.TABLE:
            raise AnswerError(message.NOT_FOUND, "")
        return thing

    def _readable(self, path: "tuple[int, ...]") -> "tuple[str, Any]":
        thing = self._find(path)
        if "R" not in thing.TABLE[path[2]]:
            raise AnswerError(message.METHOD_NOT_ALLOWED, "")
        value = thing.read(path[2])
        if value is None:
            raise AnswerError(message.NOT_FOUND, "")
        return thing.TABLE[path[2]][-1], value
