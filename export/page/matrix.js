// Matrices in one memory, multiplied by the WebAssembly kernel, or by plain loops where there is no SIMD.

import { bytesOf } from "./file.js";
import { KERNEL } from "./kernel.js";

const BLOCK = 16;
const PAGE = 65536;

/** Where all arrays lie that the kernel reads and writes. */
export class Workspace {
  constructor(bytes, withKernel = true) {
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE) });
    this.used = 0;
    this.kernel = withKernel ? kernel(this.memory) : null;
  }

  /** So many zeros, and as many more as make whole blocks. */
  floats(count) {
    const at = this.used;
    this.used += 4 * BLOCK * Math.ceil(count / BLOCK);
    const missing = this.used - this.memory.buffer.byteLength;
    if (missing > 0) throw new RangeError(`the instrument's memory is too small by ${missing} bytes`);
    return new Float32Array(this.memory.buffer, at, count);
  }

  rows(count, width) {
    return Array.from({ length: count }, () => this.floats(width));
  }
}

function kernel(memory) {
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytesOf(KERNEL)), { host: { memory } }).exports;
  } catch {
    return null; // a browser without SIMD
  }
}

/** A weight (inputs, outputs), packed. */
export class Matrix {
  constructor(space, weight, inputs, outputs, bias = null) {
    Object.assign(this, { inputs, outputs, bias, kernel: space.kernel, blocks: Math.ceil(outputs / BLOCK) });
    this.packed = space.floats(this.blocks * inputs * BLOCK);
    for (let i = 0; i < inputs; i += 1) {
      for (let o = 0; o < outputs; o += 1) {
        this.packed[(Math.floor(o / BLOCK) * inputs + i) * BLOCK + (o % BLOCK)] = weight[i * outputs + o];
      }
    }
  }

  /** Every y of `ys` plus its x times the weight. */
  addTo(ys, xs) {
    const { kernel, inputs, blocks } = this;
    if (!kernel) {
      for (let r = 0; r < ys.length; r += 1) this.addPlainly(ys[r], xs[r]);
      return;
    }
    const weight = this.packed.byteOffset;
    let r = 0;
    for (; r + 1 < ys.length; r += 2) {
      kernel.two(xs[r].byteOffset, xs[r + 1].byteOffset, weight, ys[r].byteOffset, ys[r + 1].byteOffset, inputs, blocks);
    }
    if (r < ys.length) kernel.one(xs[r].byteOffset, weight, ys[r].byteOffset, inputs, blocks);
  }

  /** Every y its x times the weight, and the bias. */
  into(ys, xs) {
    for (const y of ys) {
      if (this.bias) y.set(this.bias); else y.fill(0);
    }
    this.addTo(ys, xs);
  }

  addPlainly(y, x) {
    const { packed, inputs, outputs } = this;
    for (let first = 0; first < outputs; first += 4) {
      let at = Math.floor(first / BLOCK) * inputs * BLOCK + (first % BLOCK);
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let i = 0; i < inputs; i += 1, at += BLOCK) {
        const value = x[i];
        a += value * packed[at];
        b += value * packed[at + 1];
        c += value * packed[at + 2];
        d += value * packed[at + 3];
      }
      y[first] += a;
      if (first + 1 < outputs) y[first + 1] += b;
      if (first + 2 < outputs) y[first + 2] += c;
      if (first + 3 < outputs) y[first + 3] += d;
    }
  }
}
