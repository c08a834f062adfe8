// The instrument's numbers: a description and one row of bytes, as wavevae/export/web.py writes them.

/** Values of `mode` in the controls. */
export const GENERATE = 0;
export const SAMPLE = 2;

/** To the nearest whole number, halves to the even one, as numpy and torch round. */
export function even(x) {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/** Of a text in base 85 (RFC 1924), whose last group may be short. */
export function bytesOf(text) {
  const values = new Uint8Array(128);
  [...DIGITS].forEach((digit, value) => { values[digit.charCodeAt(0)] = value; });
  const bytes = new Uint8Array(4 * Math.ceil(text.length / 5));
  const view = new DataView(bytes.buffer);
  for (let at = 0, to = 0; at < text.length; at += 5, to += 4) {
    let word = 0;
    for (let i = at; i < at + 5; i += 1) word = word * 85 + (i < text.length ? values[text.charCodeAt(i)] : 84);
    view.setUint32(to, word);
  }
  return bytes.subarray(0, Math.floor((text.length * 4) / 5));
}

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array };

/** The description with its `tensors`. Large matrices are whole numbers of few bits, and a scale for every column. */
export function opened(description, bytes) {
  const tensors = {};
  for (const [name, kind, at, count] of description.layout) {
    if (kind in KINDS) tensors[name] = new KINDS[kind](bytes.buffer, bytes.byteOffset + at, count);
  }
  for (const [name, kind, at, count] of description.layout) {
    if (kind in KINDS) continue;
    tensors[name] = lengthened(bytes.subarray(at), count, Number(kind.slice(1)), tensors[`${name}.scale`]);
  }
  return { ...description, tensors };
}

/** Whole numbers of so many bits (24 at most) in a row -> numbers, by the scale of their column. */
function lengthened(bytes, count, bits, scale) {
  const floats = new Float32Array(count);
  const [mask, half] = [2 ** bits - 1, 2 ** (bits - 1)];
  for (let i = 0, bit = 0; i < count; i += 1, bit += bits) {
    const at = bit >> 3;
    const word = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    floats[i] = (((word >>> (bit & 7)) & mask) - half) * scale[i % scale.length];
  }
  return floats;
}
