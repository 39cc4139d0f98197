"""Hashes and signatures at the speed of the processor.

``hashlib`` works as well, at many times the fuel.
"""

from althing._host import host

__all__ = ["blake3", "sha256", "verify_signature"]


def blake3(data: bytes) -> bytes:
    """The BLAKE3 hash: 32 bytes."""
    return host().hash("blake3", data)


def sha256(data: bytes) -> bytes:
    """The SHA-256 hash: 32 bytes."""
    return host().hash("sha256", data)


def verify_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the Ed25519 signature of ``message`` by the public key ``key``.

    False as well when key or signature are malformed. A message that could be meant for another use
    should name its own: the realm, the program, a number that is never used twice.
    """
    return host().verify_signature(key, message, signature)
