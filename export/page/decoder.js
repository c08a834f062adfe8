// Latents -> sound, a frame at a time, of as many voices as sound: wavevae/nn/instrument.py as export/streaming.py has it.

import { Matrix } from "./matrix.js";
import { BandNoise, Carriers, Curve, PLACE, PowerShares, VOICE, Wavetable, randomTurn } from "./synthesis.js";

const f32 = Math.fround;
const SLOPE = 0.2;
const TAPS = 3;
const rectified = (x) => (x < 0 ? SLOPE * x : x);
const smooth = (share) => share * share * (3 - 2 * share);

/** Slow drift of latents that are held. */
class Life {
  constructor({ numbers, tensors }, rows) {
    for (const name of ["still", "per_ramp", "lead", "slow", "fast"]) this[name] = numbers[`life.${name}`];
    this.spread = tensors["life.spread"];
    const width = this.spread.length;
    this.held = Array.from({ length: rows }, () => new Float32Array(width).fill(NaN));
    this.rested = Array.from({ length: rows }, () => new Float32Array(width));
    this.lines = Array.from({ length: rows }, () => ({ knots: "", middle: new Float32Array(width),
      slow: new Float32Array(width), fast: new Float32Array(width) }));
  }

  restart(row) {
    this.held[row].fill(NaN);
    this.rested[row].fill(0);
  }

  /** Moves z (latents) in place. */
  move(row, z, life, number) {
    const [held, rested] = [this.held[row], this.rested[row]];
    const line = life ? this.line(row, number) : null;
    const [slow, fast] = [number / this.slow, number / this.fast].map((n) => f32(smooth(n - Math.floor(n))));
    for (let i = 0; i < z.length; i += 1) {
      const rests = Math.abs(f32(z[i] - held[i])) <= this.still;
      held[i] = z[i];
      rested[i] = rests ? rested[i] + 1 : 0;
      if (!life) continue;
      const gate = f32(Math.min(Math.max(f32(this.lead + rested[i] * this.per_ramp), 0), 1));
      const drift = f32(f32(line.middle[i] + slow * line.slow[i]) + fast * line.fast[i]);
      z[i] += f32(life) * gate * drift;
    }
  }

  /** Between two knots the drift is a line in the smoothed share. */
  line(row, number) {
    const line = this.lines[row];
    const [slow, fast] = [Math.floor(number / this.slow), Math.floor(number / this.fast)];
    if (line.knots === `${slow} ${fast}`) return line;
    line.knots = `${slow} ${fast}`;
    const voice = f32(f32(row) * f32(VOICE));
    const turn = (knot, i, kind) => randomTurn(knot, voice, f32(f32(i + 100 * kind) * f32(PLACE)));
    this.spread.forEach((spread, i) => {
      const [first, second] = [turn(slow, i, 1), turn(slow + 1, i, 1)];
      const [third, fourth] = [turn(fast, i, 2), turn(fast + 1, i, 2)];
      line.middle[i] = spread * (3.2 * (first - 0.5) + 2.4 * (third - 0.5));
      line.slow[i] = spread * 3.2 * (second - first);
      line.fast[i] = spread * 2.4 * (fourth - third);
    });
    return line;
  }
}

/** A causal convolution of three taps: the past is kept in a ring of rows. */
class Convolution {
  constructor(space, weight, bias, inputs, outputs, dilation, rows) {
    const size = inputs * outputs;
    this.taps = Array.from({ length: TAPS }, (_, t) => new Matrix(space, weight.subarray(t * size, (t + 1) * size),
      inputs, outputs, t ? null : bias));
    this.dilation = dilation;
    this.slots = (TAPS - 1) * dilation + 1;
    this.rings = Array.from({ length: rows }, () => space.rows(this.slots, inputs));
  }

  restart(row) {
    for (const slot of this.rings[row]) slot.fill(0);
  }

  /** Where this frame's input is to be written. */
  slot(row, number, tap = TAPS - 1) {
    const back = (TAPS - 1 - tap) * this.dilation;
    return this.rings[row][(number + this.slots - back) % this.slots];
  }

  /** The rows' outputs, once the slots are written. */
  into(ys, rows, number) {
    this.taps.forEach((matrix, tap) => {
      const xs = rows.map((row) => this.slot(row, number, tap));
      if (tap) matrix.addTo(ys, xs); else matrix.into(ys, xs);
    });
  }
}

/** The network: limits and scales of the latents, three-tap convolutions, the output layer. */
class Network {
  constructor(file, rows, space) {
    const { tensors, sizes } = file;
    const { latents, width, channels } = sizes;
    for (const name of ["low", "high", "middle", "size"]) this[name] = tensors[name];
    const layer = (name) => [tensors[`${name}.product.weight`], tensors[`${name}.product.bias`]];
    this.inlet = new Convolution(space, ...layer("inlet"), latents, width, 1, rows);
    this.classes = tensors["class_bias.classes"];
    this.classRow = new Float32Array(this.classes ? width : 0);
    this.units = file.dilations.map((dilation, n) => {
      const [weight, bias] = layer(`core.layers.${n}.pointwise`);
      return { dilated: new Convolution(space, ...layer(`core.layers.${n}.dilated`), width, width, dilation, rows),
        pointwise: new Matrix(space, weight, width, width, bias) };
    });
    const [weight, bias] = layer("outlet");
    this.outlet = new Matrix(space, weight, width + latents, channels, bias);
    this.h = space.rows(rows, width);
    this.inner = space.rows(rows, width);
    this.joined = space.rows(rows, width + latents);
    this.out = space.rows(rows, channels);
    this.width = width;
    this.setClasses([]);
  }

  /** Shares of the classes, at most 1 in all. */
  setClasses(shares) {
    if (!this.classes) return;
    const count = this.classes.length / this.width - 1;
    const all = Array.from({ length: count }, (_, n) => shares[n] ?? 0);
    all.push(Math.max(0, 1 - all.reduce((sum, share) => sum + share, 0)));
    for (let o = 0; o < this.width; o += 1) {
      this.classRow[o] = all.reduce((sum, share, n) => sum + share * this.classes[n * this.width + o], 0);
    }
  }

  restart(row) {
    this.inlet.restart(row);
    for (const { dilated } of this.units) dilated.restart(row);
  }

  /** Latents of the rows that sound -> their outputs in `out`. */
  run(rows, z, number) {
    const [h, inner, joined, out] = [this.h, this.inner, this.joined, this.out].map((all) => rows.map((row) => all[row]));
    for (const row of rows) this.see(row, z[row], this.inlet.slot(row, number));
    this.inlet.into(h, rows, number);
    if (this.classes) for (const y of h) for (let o = 0; o < this.width; o += 1) y[o] += this.classRow[o];
    for (const { dilated, pointwise } of this.units) {
      rows.forEach((row, n) => rectify(h[n], dilated.slot(row, number)));
      dilated.into(inner, rows, number);
      for (const y of inner) rectify(y, y);
      for (const y of h) for (let o = 0; o < this.width; o += 1) y[o] += pointwise.bias[o];
      pointwise.addTo(h, inner);
    }
    h.forEach((y, n) => rectify(y, joined[n]));
    this.outlet.into(out, joined);
  }

  /** Controls within the corpus' range, all of about unit size. */
  see(row, z, slot) {
    for (let i = 0; i < z.length; i += 1) {
      const within = Math.min(Math.max(z[i], this.low[i]), this.high[i]);
      slot[i] = this.joined[row][this.width + i] = f32(within - this.middle[i]) / this.size[i];
    }
  }
}

function rectify(from, to) {
  for (let o = 0; o < from.length; o += 1) to[o] = rectified(from[o]);
}

export class Decoder {
  /** `file`: see wavevae/export/web.py; `rows`: voices at most. */
  constructor(file, rows, space) {
    const { sizes, hop } = file;
    Object.assign(this, { file, hop, rows, number: 0, numbers: file.numbers });
    this.life = new Life(file, rows);
    this.network = new Network(file, rows, space);
    this.shares = new PowerShares(file);
    this.noise = new BandNoise(file, rows);
    this.wavetable = sizes.partials ? new Wavetable(file, rows, space) : null;
    this.carriers = sizes.carriers ? new Carriers(file, rows, space) : null;
    this.curve = new Curve(file);
    this.z = Array.from({ length: rows }, () => new Float32Array(sizes.latents));
    this.amplitudes = space.rows(rows, Math.max(1, sizes.partials));
    this.powers = Array.from({ length: rows }, () => new Float64Array(sizes.noise));
    this.dense = Array.from({ length: rows }, () => new Float32Array(sizes.carriers));
    this.frequency = new Float64Array(rows);
    this.sounds = Array.from({ length: rows }, () => new Float32Array(hop));
    this.before = new Float32Array(rows);
    this.reset();
  }

  reset() {
    this.number = 0;
    for (let row = 0; row < this.rows; row += 1) this.restart(row);
  }

  restart(row) {
    for (const part of [this.life, this.network, this.noise, this.wavetable, this.carriers]) part?.restart(row);
    this.before[row] = this.file.quietest;
  }

  setClasses(shares) {
    this.network.setClasses(shares);
  }

  /** Latents (file units) by row, and which rows sound -> `sounds` (hop) of those rows. */
  play(latents, rows, life) {
    for (const row of rows) this.take(row, latents[row], life);
    this.network.run(rows, this.z, this.number);
    for (const row of rows) this.share(row);
    this.wavetable?.draw(rows, this.amplitudes);
    for (const row of rows) {
      const sound = this.sounds[row].fill(0);
      this.noise.play(row, this.number, this.powers[row], sound);
      this.wavetable?.play(row, this.frequency[row], sound);
    }
    this.carriers?.play(rows, this.number, this.dense, this.sounds);
    for (const row of rows) this.finish(row);
    this.number += 1;
    return this.sounds;
  }

  /** To the model's units, within what can be played, alive. */
  take(row, latents, life) {
    const { offset, factor, lowest, highest } = this.file.tensors;
    const z = this.z[row];
    for (let i = 0; i < z.length; i += 1) {
      const own = i < latents.length && Number.isFinite(latents[i]) ? latents[i] : 0;
      z[i] = Math.min(Math.max(f32(offset[i] + own * factor[i]), lowest[i]), highest[i]);
    }
    this.life.move(row, z, life, this.number);
  }

  share(row) {
    const [z, { numbers }] = [this.z[row], this];
    const loudness = z[this.file.loudnessAt];
    const level = f32(Math.max(f32(Math.exp(f32(loudness * numbers["synthesis.decibel"])) - numbers["synthesis.silence"]), 0));
    const frequency = 2 ** (numbers["synthesis.zero"] + z[0] * numbers["synthesis.octave"]);
    this.frequency[row] = frequency;
    const hz = f32(frequency * this.file.rate);
    this.shares.split(this.network.out[row], hz, level, this.amplitudes[row], this.powers[row], this.dense[row]);
  }

  finish(row) {
    const [sound, loudness] = [this.sounds[row], this.z[row][this.file.loudnessAt]];
    const out = this.network.out[row];
    this.curve.shape(out.subarray(out.length - this.shares.curve), f32(loudness - this.before[row]), sound);
    this.before[row] = loudness;
    for (let i = 0; i < sound.length; i += 1) sound[i] = Math.min(Math.max(sound[i], -1), 1);
  }
}
