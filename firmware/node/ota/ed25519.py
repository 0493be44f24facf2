"""Verifying Ed25519 signatures (RFC 8032, 5.1.7) with Python integers, and the SHA-512 it needs.

Not for signing, and not for secrets: nothing here takes constant time.

Neither MicroPython nor the ESP32 port has SHA-512. Imported for one update and dropped after.
"""

import asyncio

from micropython import const

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_MASK = const(0xFFFFFFFFFFFFFFFF)
# Doublings between two turns of the other tasks: on an ESP32 about 20 ms.
_BITS_PER_TURN = const(8)


async def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature of the message is by the key; gives other tasks their turns."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    scalar = _little(signature[32:])
    if scalar >= _L:
        return False
    d = -121665 * pow(121666, _P - 2, _P) % _P
    base_y = 4 * pow(5, _P - 2, _P) % _P
    base_x = _recover_x(base_y, 0, d)
    y = _little(public_key)
    sign = y >> 255
    y &= 2**255 - 1
    x = _recover_x(y, sign, d)
    if x is None or base_x is None:
        return False
    challenge = _little(sha512(signature[:32] + public_key + message)) % _L
    # R must be S·B - k·A: both products in one pass over the bits (Shamir's trick).
    d2 = 2 * d % _P
    base = (base_x, base_y, 1, base_x * base_y % _P)
    minus_key = (_P - x, y, 1, (_P - x) * y % _P)
    both = _add(base, minus_key, d2)
    point = (0, 1, 1, 0)
    for bit in range(252, -1, -1):
        point = _double(point)
        if scalar >> bit & 1:
            point = _add(point, both if challenge >> bit & 1 else base, d2)
        elif challenge >> bit & 1:
            point = _add(point, minus_key, d2)
        if bit % _BITS_PER_TURN == 0:
            await asyncio.sleep(0)
    inverse_z = pow(point[2], _P - 2, _P)
    x = point[0] * inverse_z % _P
    y = point[1] * inverse_z % _P
    return _little(signature[:32]) == y | (x & 1) << 255


def sha512(message: bytes) -> bytes:
    """Hash a short message (FIPS 180-4, 6.4)."""
    primes: list[int] = []
    candidate = 2
    while len(primes) < 80:
        if all(candidate % prime for prime in primes):
            primes.append(candidate)
        candidate += 1
    # FIPS 180-4, 4.2.3 and 5.3.5: fractional bits of cube and square roots of primes.
    constants = [_root(prime << 192, 3) & _MASK for prime in primes]
    state = [_root(prime << 128, 2) & _MASK for prime in primes[:8]]
    bits = len(message) * 8
    padded = message + b"\x80" + bytes(-(len(message) + 17) % 128) + bits.to_bytes(16, "big")
    for start in range(0, len(padded), 128):
        words = [int.from_bytes(padded[at : at + 8], "big") for at in range(start, start + 128, 8)]
        a, b, c, d, e, f, g, h = state
        for number in range(80):
            if number < 16:
                word = words[number]
            else:
                w15 = words[(number + 1) & 15]
                w2 = words[(number + 14) & 15]
                word = words[number & 15] + words[(number + 9) & 15]
                word += _turn(w15, 1) ^ _turn(w15, 8) ^ w15 >> 7
                word += _turn(w2, 19) ^ _turn(w2, 61) ^ w2 >> 6
                word &= _MASK
                words[number & 15] = word
            first = h + (_turn(e, 14) ^ _turn(e, 18) ^ _turn(e, 41)) + (e & f ^ ~e & g)
            first += constants[number] + word
            second = (_turn(a, 28) ^ _turn(a, 34) ^ _turn(a, 39)) + (a & b ^ a & c ^ b & c)
            h, g, f, e = g, f, e, (d + first) & _MASK
            d, c, b, a = c, b, a, (first + second) & _MASK
        worked = (a, b, c, d, e, f, g, h)
        state = [(state[at] + worked[at]) & _MASK for at in range(8)]
    return b"".join([word.to_bytes(8, "big") for word in state])


def _turn(word: int, count: int) -> int:
    """Rotate a 64-bit word to the right."""
    return (word >> count | word << (64 - count)) & _MASK


def _root(number: int, degree: int) -> int:
    """Take the integer square or cube root by Newton's method, from above."""
    guess = 1 << 80
    while True:
        closer = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if closer >= guess:
            return guess
        guess = closer


def _little(encoded: bytes) -> int:
    return int.from_bytes(encoded, "little")


def _recover_x(y: int, sign: int, d: int) -> "int | None":
    """Find x for y and the sign of x; None when there is no such point (RFC 8032, 5.1.3)."""
    if y >= _P:
        return None
    x2 = (y * y - 1) * pow(d * y * y + 1, _P - 2, _P) % _P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - x2) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _add(one: tuple, other: tuple, d2: int) -> tuple:
    """Add two points in extended homogeneous coordinates (RFC 8032, 5.1.4)."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = t1 * d2 % _P * t2 % _P
    d = 2 * z1 * z2 % _P
    e = b - a
    f = d - c
    g = d + c
    h = b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: tuple) -> tuple:
    """Double a point (RFC 8032, 5.1.4)."""
    x1, y1, z1, _ = point
    a = x1 * x1 % _P
    b = y1 * y1 % _P
    h = a + b
    e = h - (x1 + y1) * (x1 + y1) % _P
    g = a - b
    f = 2 * z1 * z1 % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P
