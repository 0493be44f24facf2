"""Ed25519 and SHA-512 against published vectors, on both Pythons."""

import asyncio

from node.ota import ed25519

# RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc): public key, message, signature.
_VECTORS = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
        "f9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
        "f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984"
        "dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3"
        "feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c664"
        "31e0303dca179c138ac17ad9bef1177331a704",
    ),
)
_L = 2**252 + 27742317777372353535851937790883648493


def _verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return asyncio.run(ed25519.verify(key, message, signature))


def _vectors():
    return [tuple([bytes.fromhex(part) for part in vector]) for vector in _VECTORS]


def test_signatures_of_rfc_8032_are_right():
    for key, message, signature in _vectors():
        assert _verify(key, message, signature)


def test_other_message_key_or_signature_is_wrong():
    key, message, signature = _vectors()[1]
    assert not _verify(key, message + b"x", signature)
    assert not _verify(_vectors()[0][0], message, signature)
    for at in (0, 31, 32, 63):
        altered = bytearray(signature)
        altered[at] ^= 1
        assert not _verify(key, message, bytes(altered))


def test_second_form_of_a_signature_is_wrong():
    # RFC 8032, 5.1.7: S must be below the group's order, or signatures could be varied.
    key, message, signature = _vectors()[1]
    scalar = int.from_bytes(signature[32:], "little") + _L
    assert not _verify(key, message, signature[:32] + scalar.to_bytes(32, "little"))


def test_what_is_no_key_or_no_signature_is_wrong():
    key, message, signature = _vectors()[1]
    assert not _verify(key[:31], message, signature)
    assert not _verify(key, message, signature[:63])
    assert not _verify(b"\xff" * 32, message, signature)  # y is not below p
    assert not _verify(b"\x02" + bytes(31), message, signature)  # no x has this y


def test_sha512_of_fips_180_4_examples_is_right():
    # NIST, "Examples with intermediate values": SHA512 of one and of two blocks.
    assert ed25519.sha512(b"abc").hex() == (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    )
    two_blocks = (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
    )
    assert ed25519.sha512(two_blocks).hex() == (
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"
    )
