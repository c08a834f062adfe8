// From the decoder network's output to sound, a frame at a time: wavevae/nn/synthesizer.py, oscillators.py and noise.py
// as export/synthesis.py has them. Numbers are rounded to float32 where those are, so that random draws are the same.

import { Matrix } from "./matrix.js";

const f32 = Math.fround;
const TURN = 2 * Math.PI;
const fraction = (x) => x - Math.floor(x);

/** In [0, 1), of a frame's number: `voice` and `place` are summands, rounded as they are in torch. */
export const randomTurn = (frame, voice, place) => fraction(Math.sin(frame * 12.9898 + voice + place + 1) * 43758.5453);
export const VOICE = 37.719;
export const PLACE = 78.233;

/** Network output (envelope first), pitch and level -> shares of power. */
export class PowerShares {
  constructor({ numbers, tensors, sizes }) {
    const at = (name) => tensors[`synthesis.shares.${name}`];
    Object.assign(this, sizes, { inner: at("inner"), low: at("low"), perWidth: at("per_width") });
    for (const name of ["highest", "steep", "middle"]) this[name] = numbers[`synthesis.shares.${name}`];
    this.total = this.partials + this.noise + this.carriers;
    this.shares = new Float64Array(this.total);
    this.fade = new Float64Array(this.partials);
  }

  /** Writes amplitudes of the partials, powers of the bands, amplitudes of the carriers. */
  split(out, hz, level, amplitudes, powers, dense) {
    const { partials, noise, envelope, total, shares } = this;
    for (let i = 0; i < total; i += 1) shares[i] = out[envelope + i];
    if (partials) this.addEnvelope(out, hz);
    this.softmax();
    const [size, power] = [level * Math.SQRT2, level * level];
    for (let k = 0; k < partials; k += 1) {
      const audible = f32(hz * (k + 1)) < this.highest;
      amplitudes[k] = audible ? Math.sqrt(k ? shares[k] : shares[0] * Math.exp(this.fade[0])) * size : 0;
    }
    for (let i = 0; i < noise; i += 1) powers[i] = shares[partials + i] * power;
    for (let i = partials + noise; i < total; i += 1) dense[i - partials - noise] = Math.sqrt(shares[i]) * size;
  }

  addEnvelope(out, hz) {
    const { inner, low, perWidth, shares } = this;
    const [first, last] = [low[0], inner[inner.length - 1] + 1 / perWidth[perWidth.length - 1]];
    let place = 0;
    for (let k = 0; k < this.partials; k += 1) {
      const frequency = f32(hz * (k + 1));
      const within = Math.min(Math.max(frequency, first), last);
      while (place < inner.length && inner[place] < within) place += 1;
      const slope = (out[place + 1] - out[place]) * perWidth[place];
      const x = this.middle + frequency * this.steep;
      this.fade[k] = Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
      shares[k] += out[place] + slope * (within - low[place]) + (k ? this.fade[k] : 0);
    }
  }

  softmax() {
    const { shares, total } = this;
    let [highest, sum] = [-Infinity, 0];
    for (let i = 0; i < total; i += 1) highest = Math.max(highest, shares[i]);
    for (let i = 0; i < total; i += 1) sum += shares[i] = Math.exp(shares[i] - highest);
    for (let i = 0; i < total; i += 1) shares[i] /= sum;
  }
}

/** Complex spectrum of a real signal -> that signal, 2 x half samples; `half` a power of two. */
class InverseFft {
  constructor(half) {
    this.half = half;
    this.re = new Float64Array(half);
    this.im = new Float64Array(half);
    this.cosine = Float64Array.from({ length: half }, (_, i) => Math.cos((Math.PI * i) / half));
    this.sine = Float64Array.from({ length: half }, (_, i) => Math.sin((Math.PI * i) / half));
    const bits = Math.log2(half);
    this.reversed = Uint32Array.from({ length: half }, (_, i) => {
      let turned = 0;
      for (let b = 0; b < bits; b += 1) turned |= ((i >> b) & 1) << (bits - 1 - b);
      return turned;
    });
  }

  /** `real`, `imaginary` (half + 1) -> `re`, `im`: even and odd samples, times 2 x half. */
  run(real, imaginary) {
    const { half, re, im, cosine, sine, reversed } = this;
    for (let k = 0; k < half; k += 1) {
      const a = real[k] - real[half - k];
      const b = imaginary[k] + imaginary[half - k];
      const to = reversed[k];
      re[to] = real[k] + real[half - k] - (b * cosine[k] + a * sine[k]);
      im[to] = imaginary[k] - imaginary[half - k] + a * cosine[k] - b * sine[k];
    }
    for (let size = 1; size < half; size *= 2) {
      const step = half / size;
      for (let start = 0; start < half; start += 2 * size) {
        for (let k = 0; k < size; k += 1) {
          const i = start + k;
          const j = i + size;
          const c = cosine[k * step];
          const s = sine[k * step];
          const x = re[j] * c - im[j] * s;
          const y = re[j] * s + im[j] * c;
          re[j] = re[i] - x;
          im[j] = im[i] - y;
          re[i] += x;
          im[i] += y;
        }
      }
    }
  }
}

/** Powers of bands -> noise: a random spectrum a frame, over two hops. */
export class BandNoise {
  constructor({ numbers, tensors, hop }, rows) {
    Object.assign(this, { hop, least: numbers["synthesis.noise.least"], band: tensors["noise.band"],
      low: tensors["noise.low"], high: tensors["noise.high"] });
    this.window = Float64Array.from({ length: 2 * hop }, (_, i) => f32(Math.sin((Math.PI * (i + 0.5)) / (2 * hop))) / (2 * hop));
    this.fft = new InverseFft(hop);
    this.real = new Float64Array(hop + 1);
    this.imaginary = new Float64Array(hop + 1);
    this.tails = Array.from({ length: rows }, () => new Float32Array(hop));
  }

  restart(row) {
    this.tails[row].fill(0);
  }

  /** Adds to `sound` (hop). */
  play(row, number, powers, sound) {
    const { hop, real, imaginary, window, fft } = this;
    const voice = f32(f32(row) * f32(VOICE));
    for (let k = 1; k < hop; k += 1) {
      const band = this.band[k];
      const gain = Math.sqrt(this.least + powers[band] * this.low[k] + powers[band + 1] * this.high[k]);
      const drawn = Math.sin(voice + k * PLACE + 1 + number * 12.9898) * 43758.5453;
      const angle = f32((drawn - Math.trunc(drawn)) * TURN);
      real[k] = gain * Math.cos(angle);
      imaginary[k] = gain * Math.sin(angle);
    }
    fft.run(real, imaginary);
    const tail = this.tails[row];
    const half = hop / 2;
    for (let n = 0; n < half; n += 1) {
      sound[2 * n] += fft.re[n] * window[2 * n] + tail[2 * n];
      sound[2 * n + 1] += fft.im[n] * window[2 * n + 1] + tail[2 * n + 1];
    }
    for (let n = half; n < hop; n += 1) {
      tail[2 * n - hop] = fft.re[n] * window[2 * n];
      tail[2 * n + 1 - hop] = fft.im[n] * window[2 * n + 1];
    }
  }
}

/** A harmonic tone: one period a frame, read at a running phase. */
export class Wavetable {
  constructor({ tensors, hop, sizes, tableLength }, rows, space) {
    Object.assign(this, { hop, length: tableLength });
    const phases = tensors["wavetable.phases"];
    const sines = new Float32Array(sizes.partials * tableLength);
    for (let k = 0; k < sizes.partials; k += 1) {
      for (let i = 0; i < tableLength; i += 1) {
        sines[k * tableLength + i] = Math.sin(TURN * fraction(((k + 1) * i) / tableLength + phases[k]));
      }
    }
    this.sines = new Matrix(space, sines, sizes.partials, tableLength);
    this.old = space.rows(rows, tableLength);
    this.new = space.rows(rows, tableLength);
    this.frequency = new Float64Array(rows).fill(NaN);
    this.phase = new Float64Array(rows);
  }

  restart(row) {
    this.old[row].fill(0);
    this.phase[row] = 0;
    this.frequency[row] = NaN;
  }

  /** The periods of the rows that sound. */
  draw(rows, amplitudes) {
    this.sines.into(rows.map((r) => this.new[r]), rows.map((r) => amplitudes[r]));
  }

  /** Adds to `sound` (hop), going to `frequency` (cycles a sample). */
  play(row, frequency, sound) {
    const { hop, length } = this;
    const [old, now, mask] = [this.old[row], this.new[row], length - 1];
    const before = Number.isNaN(this.frequency[row]) ? frequency : this.frequency[row];
    let turns = 0;
    for (let i = 0; i < hop; i += 1) {
      const bent = ((i + 1) * (i + 2)) / (2 * hop);
      turns = this.phase[row] + before * (i + 1 - bent) + frequency * bent;
      const place = fraction(turns) * length;
      const first = Math.floor(place);
      const part = place - first;
      const a = first & mask;
      const b = (first + 1) & mask;
      const was = old[a] + part * (old[b] - old[a]);
      const is = now[a] + part * (now[b] - now[a]);
      sound[i] += was + ((i + 1) / hop) * (is - was);
    }
    this.phase[row] = fraction(turns);
    this.frequency[row] = frequency;
    this.old[row] = now;
    this.new[row] = old;
  }
}

/** Many oscillators of fixed frequency. */
export class Carriers {
  constructor({ tensors, hop, sizes }, rows, space) {
    const count = sizes.carriers;
    Object.assign(this, { hop, count, frequency: tensors["carriers.frequency"], offset: tensors["carriers.offset"] });
    const [cosine, sine] = [new Float32Array(2 * count * hop), new Float32Array(count * hop)];
    for (let k = 0; k < count; k += 1) {
      for (let i = 0; i < hop; i += 1) {
        const angle = TURN * fraction(this.frequency[k] * (i + 1));
        sine[k * hop + i] = cosine[k * hop + i] = Math.sin(angle);
        cosine[(count + k) * hop + i] = Math.cos(angle);
      }
    }
    this.matrix = new Matrix(space, cosine, 2 * count, hop);
    this.before = Array.from({ length: rows }, () => new Float32Array(count));
    this.turned = space.rows(2 * rows, 2 * count);
    this.pieces = space.rows(2 * rows, hop);
  }

  restart(row) {
    this.before[row].fill(0);
  }

  /** Adds to the `sounds` (hop) of the rows. */
  play(rows, number, amplitudes, sounds) {
    const { count, hop } = this;
    for (let k = 0; k < count; k += 1) {
      const angle = f32(TURN * fraction(number * (hop * this.frequency[k]) + this.offset[k]));
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      rows.forEach((row, n) => {
        [this.before[row], amplitudes[row]].forEach((size, which) => {
          this.turned[2 * n + which][k] = size[k] * c;
          this.turned[2 * n + which][count + k] = size[k] * s;
        });
      });
    }
    this.matrix.into(this.pieces.slice(0, 2 * rows.length), this.turned.slice(0, 2 * rows.length));
    rows.forEach((row, n) => {
      const [old, now] = [this.pieces[2 * n], this.pieces[2 * n + 1]];
      for (let i = 0; i < hop; i += 1) sounds[row][i] += old[i] + ((i + 1) / hop) * (now[i] - old[i]);
      this.before[row].set(amplitudes[row].subarray(0, count));
    });
  }
}

/** The gain within a hop, 1 where the loudness rests. */
export class Curve {
  constructor({ numbers, tensors, hop, sizes }) {
    Object.assign(this, { hop, points: sizes.curve, perMove: numbers["synthesis.per_move"], tents: tensors["synthesis.tents"] });
    this.heights = new Float64Array(this.points);
  }

  /** `shape` (points) of the network, how far the loudness moved (dB). */
  shape(shape, move, sound) {
    const { hop, points, tents, heights } = this;
    if (move === 0) return;
    const moved = 1 - Math.exp(Math.abs(move) * this.perMove);
    for (let p = 0; p < points; p += 1) heights[p] = Math.tanh(shape[p]) * moved;
    for (let i = 0; i < hop; i += 1) {
      let gain = 0;
      for (let p = 0; p < points; p += 1) gain += heights[p] * tents[p * hop + i];
      sound[i] *= Math.exp(gain);
    }
  }
}
