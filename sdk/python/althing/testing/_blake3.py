"""BLAKE3, which Python's library has not. Small and slow: for tests."""

_WORD = 0xFFFFFFFF
_IV = (
    0x6A09E667,
    0xBB67AE85,
    0x3C6EF372,
    0xA54FF53A,
    0x510E527F,
    0x9B05688C,
    0x1F83D9AB,
    0x5BE0CD19,
)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
_BLOCK_BYTES, _CHUNK_BYTES, _ROUNDS = 64, 1024, 7
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8


def blake3(data: bytes) -> bytes:
    """The hash of ``data``: 32 bytes."""
    return b"".join(word.to_bytes(4, "little") for word in _tree(data, 0, _ROOT))


def _tree(data: bytes, chunk: int, root: int) -> list[int]:
    """The chaining value of the chunks of ``data``, of which the first is number ``chunk``."""
    if len(data) <= _CHUNK_BYTES:
        return _chunk(data, chunk, root)
    # The left half is the largest power of two of chunks that leaves something for the right one.
    left = 1 << ((len(data) - 1) // _CHUNK_BYTES).bit_length() - 1
    cut = left * _CHUNK_BYTES
    words = _tree(data[:cut], chunk, 0) + _tree(data[cut:], chunk + left, 0)
    return _compress(list(_IV), words, 0, _BLOCK_BYTES, _PARENT | root)


def _chunk(data: bytes, counter: int, root: int) -> list[int]:
    starts = range(0, max(len(data), 1), _BLOCK_BYTES)
    chaining = list(_IV)
    for start in starts:
        block = data[start : start + _BLOCK_BYTES]
        flags = _CHUNK_START if start == 0 else 0
        if start == starts[-1]:
            flags |= _CHUNK_END | root
        padded = block.ljust(_BLOCK_BYTES, b"\0")
        words = [int.from_bytes(padded[at : at + 4], "little") for at in range(0, 64, 4)]
        chaining = _compress(chaining, words, counter, len(block), flags)
    return chaining


def _compress(
    chaining: list[int], words: list[int], counter: int, size: int, flags: int
) -> list[int]:
    state = [*chaining, *_IV[:4], counter & _WORD, counter >> 32, size, flags]
    for _ in range(_ROUNDS):
        for at, (a, b, c, d) in enumerate(_COLUMNS_AND_DIAGONALS):
            _mix(state, a, b, c, d, words[2 * at], words[2 * at + 1])
        words = [words[at] for at in _PERMUTATION]
    return [state[at] ^ state[at + 8] for at in range(8)]


def _mix(state: list[int], a: int, b: int, c: int, d: int, first: int, second: int) -> None:
    for word, right_d, right_b in ((first, 16, 12), (second, 8, 7)):
        state[a] = (state[a] + state[b] + word) & _WORD
        state[d] = _rotated(state[d] ^ state[a], right_d)
        state[c] = (state[c] + state[d]) & _WORD
        state[b] = _rotated(state[b] ^ state[c], right_b)


def _rotated(word: int, right: int) -> int:
    return (word >> right | word << (32 - right)) & _WORD
