"""CoRE link format (RFC 6690) as a node writes it in Register, Update and Discover.

Not a parser: a node reads nobody's links.
"""


def links(entries: "list[tuple[str, str]]") -> bytes:
    """Join (path, attributes) into a document; attributes come without the leading semicolon.

    >>> links([("/", 'rt="oma.lwm2m";ct=112'), ("/3/0", "")])
    b'</>;rt="oma.lwm2m";ct=112,</3/0>'
    """
    joined = []
    for path, attributes in entries:
        joined.append("<" + path + (">;" + attributes if attributes else ">"))
    return ",".join(joined).encode()
