// BLAKE3, which Node's library has not. Small and slow: for tests.

const IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
];
const [BLOCK_BYTES, CHUNK_BYTES, ROUNDS] = [64, 1024, 7];
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];

/** The hash of `data`: 32 bytes. */
export function blake3(data) {
  const hash = new DataView(new ArrayBuffer(32));
  tree(data, 0, ROOT).forEach((word, at) => hash.setUint32(4 * at, word, true));
  return new Uint8Array(hash.buffer);
}

/** The chaining value of the chunks of `data`, of which the first is number `chunk`. */
function tree(data, chunk, root) {
  if (data.length <= CHUNK_BYTES) return chunkValue(data, chunk, root);
  // The left half is the largest power of two of chunks that leaves something for the right one.
  let left = 1;
  while (2 * left * CHUNK_BYTES < data.length) left *= 2;
  const cut = left * CHUNK_BYTES;
  const words = [
    ...tree(data.subarray(0, cut), chunk, 0),
    ...tree(data.subarray(cut), chunk + left, 0),
  ];
  return compress(IV, words, 0, BLOCK_BYTES, PARENT | root);
}

function chunkValue(data, counter, root) {
  let chaining = IV;
  for (let start = 0; start === 0 || start < data.length; start += BLOCK_BYTES) {
    const block = data.subarray(start, start + BLOCK_BYTES);
    const last = start + BLOCK_BYTES >= data.length;
    const flags = (start === 0 ? CHUNK_START : 0) | (last ? CHUNK_END | root : 0);
    const view = new DataView(new ArrayBuffer(BLOCK_BYTES));
    new Uint8Array(view.buffer).set(block);
    const words = Array.from({ length: 16 }, (_, at) => view.getUint32(4 * at, true));
    chaining = compress(chaining, words, counter, block.length, flags);
  }
  return chaining;
}

function compress(chaining, block, counter, size, flags) {
  const state = [...chaining, ...IV.slice(0, 4), counter, Math.floor(counter / 2 ** 32), size, flags];
  let words = block;
  for (let round = 0; round < ROUNDS; round += 1) {
    COLUMNS_AND_DIAGONALS.forEach(([a, b, c, d], at) => {
      mix(state, a, b, c, d, words[2 * at], 16, 12);
      mix(state, a, b, c, d, words[2 * at + 1], 8, 7);
    });
    words = PERMUTATION.map((at) => words[at]);
  }
  return Array.from({ length: 8 }, (_, at) => (state[at] ^ state[at + 8]) >>> 0);
}

function mix(state, a, b, c, d, word, rightD, rightB) {
  state[a] = (state[a] + state[b] + word) | 0;
  state[d] = rotated(state[d] ^ state[a], rightD);
  state[c] = (state[c] + state[d]) | 0;
  state[b] = rotated(state[b] ^ state[c], rightB);
}

function rotated(word, right) {
  return (word >>> right) | (word << (32 - right));
}
