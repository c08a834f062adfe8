// How notes are played and which come next, a frame at a time: wavevae/prior/performer.py, improviser.py and model.py.

import { even } from "./file.js";
import { Matrix } from "./matrix.js";
import { PLACE, VOICE, randomTurn } from "./synthesis.js";

const f32 = Math.fround;
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
/** A summand of `randomTurn`, rounded as in torch. */
const placed = (n) => f32(f32(n) * f32(PLACE));
const normal = (first, second) => Math.sqrt(-2 * Math.log(first)) * Math.cos(2 * Math.PI * second);

/** What a frame knows of its note. */
class NoteFeatures {
  constructor({ numbers, tensors, sizes, meanwhile }) {
    Object.assign(this, sizes, { tensors, meanwhile, legato: numbers["features.legato_frames"],
      width: numbers["features.width"] });
    this.low = tensors["features.level_range"][0];
    this.high = tensors["features.level_range"][1];
  }

  initial() {
    return { key: 0, level: 0, held: 0, sinceOnset: this.meanwhile, sinceRelease: this.meanwhile, interval: 0, legato: 0 };
  }

  /** Changes the note to the next frame's. */
  follow(note, key, level, held) {
    const before = { ...note };
    const begins = held && (!before.held || Math.abs(f32(key - before.key)) >= 0.5);
    const first = before.sinceOnset >= this.meanwhile;
    if (begins) {
      note.interval = first ? 0 : f32(key - before.key);
      note.legato = (before.held || before.sinceRelease < this.legato) && !first ? 1 : 0;
    }
    note.sinceOnset = begins ? 0 : Math.min(before.sinceOnset + 1, this.meanwhile);
    note.sinceRelease = !held && before.held ? 0 : Math.min(before.sinceRelease + 1, this.meanwhile);
    if (held) Object.assign(note, { key, level });
    note.held = held;
  }

  write(note, classes, to) {
    const { tensors } = this;
    const fresh = tensors["features.onsets"].map((frames) => Math.exp(-note.sinceOnset / frames));
    const gone = tensors["features.releases"].map((frames) => (note.held ? 0 : Math.exp(-note.sinceRelease / frames)));
    const span = Math.max(this.high - this.low, 3);
    const height = ((clamp(note.level, this.low, this.high) - 0.5 * (this.low + this.high)) / span) * 2;
    const none = note.sinceOnset >= this.meanwhile ? 1 : 0;
    const parts = [note.held, height, none, (clamp(note.interval, -24, 24) / 12) * fresh[2], note.legato * fresh[2],
      ...fresh, ...gone];
    for (let c = 0; c < this.classes; c += 1) parts.push(classes[c] ?? 0);
    for (const point of tensors["features.points"]) parts.push(Math.exp(-0.5 * ((note.key - point) / this.width) ** 2));
    if (this.timbres) {
      const timbre = tensors["features.timbre_of_key"][clamp(Math.round(note.key), 0, 127)];
      for (let t = 0; t < this.timbres; t += 1) parts.push(t === timbre ? 1 : 0);
    }
    to.set(parts);
  }
}

/** Notes -> latents, by a recurrent network and a mixture of Gaussians. */
export class Performer {
  constructor(prior, rows, space) {
    const { numbers, tensors, sizes } = prior;
    Object.assign(this, { prior, numbers, tensors, rows, ...sizes });
    this.features = new NoteFeatures(prior);
    const gates = 3 * this.width;
    const matrix = (name, inputs, outputs) => new Matrix(space, tensors[`${name}.weight`], inputs, outputs, tensors[`${name}.bias`]);
    this.fromInput = matrix("input", this.count + this.latents, gates);
    this.fromHidden = matrix("hidden", this.width, gates);
    this.outlet = matrix("outlet", this.width, this.components * (2 * this.latents + 1));
    this.input = space.rows(rows, this.count + this.latents);
    this.hidden = space.rows(rows, this.width);
    this.a = space.rows(rows, gates);
    this.b = space.rows(rows, gates);
    this.out = space.rows(rows, this.outlet.outputs);
    this.last = Array.from({ length: rows }, () => new Float32Array(this.latents));
    this.z = Array.from({ length: rows }, () => new Float32Array(this.latents));
    this.drift = new Float32Array(rows);
    this.reset();
  }

  reset() {
    this.frame = 0;
    this.notes = [];
    for (let row = 0; row < this.rows; row += 1) this.restart(row);
  }

  restart(row) {
    this.notes[row] = this.features.initial();
    this.hidden[row].fill(0);
    this.last[row].fill(0);
    this.drift[row] = 0;
  }

  /** Decibels of a velocity: amplitude goes with its square. */
  level(velocity) {
    const { loudest, softest } = this.prior;
    return f32(loudest + clamp(40 * Math.log10(Math.max(velocity, 1e-6)), softest, 0));
  }

  /** `asked` [key, velocity] by row -> latents in the model's units, of the rows that sound. */
  play(asked, rows, classes, temperature, seed, seedOfRow) {
    for (const row of rows) {
      const [key, velocity] = asked[row];
      this.features.follow(this.notes[row], f32(key), this.level(velocity), velocity > 0 ? 1 : 0);
      this.features.write(this.notes[row], classes, this.input[row]);
      this.input[row].set(this.last[row], this.count);
    }
    const [input, hidden, a, b, out] = [this.input, this.hidden, this.a, this.b, this.out].map((all) => rows.map((r) => all[r]));
    this.fromInput.into(a, input);
    this.fromHidden.into(b, hidden);
    hidden.forEach((h, n) => this.step(h, a[n], b[n]));
    this.outlet.into(out, hidden);
    for (const row of rows) this.finish(row, temperature, seed + seedOfRow * row);
    this.frame += 1;
    return this.z;
  }

  /** A gated recurrent unit (Cho et al. 2014). */
  step(h, a, b) {
    const { width } = this;
    for (let i = 0; i < width; i += 1) {
      const reset = 1 / (1 + Math.exp(-(a[i] + b[i])));
      const update = 1 / (1 + Math.exp(-(a[width + i] + b[width + i])));
      const fresh = Math.tanh(a[2 * width + i] + reset * b[2 * width + i]);
      h[i] = fresh + update * (h[i] - fresh);
    }
  }

  finish(row, temperature, seed) {
    const { tensors, latents, pitched } = this;
    const [note, last, z] = [this.notes[row], this.last[row], this.z[row]];
    this.draw(this.out[row], temperature, seed, last);
    this.makeAudible(last, note);
    for (let i = 0; i < latents; i += 1) z[i] = f32(last[i] * tensors.scale[i]) + tensors.offset[i];
    if (!pitched) {
      z[0] += note.level;
      return;
    }
    const settled = note.sinceOnset >= this.numbers.settled && z[2] >= 0.5;
    if (note.sinceOnset < 0.5) this.drift[row] = 0;
    else if (settled) this.drift[row] += this.numbers.drift_rate * (z[0] - this.drift[row]);
    z[0] += f32(note.key - this.drift[row]);
    z[1] += note.level;
    z[2] = clamp(z[2], 0, 1);
  }

  /** Notes do not fall silent, nor rests sound, where the corpus' do not. */
  makeAudible(last, note) {
    const { tensors } = this;
    const at = this.pitched ? 1 : 0;
    const limits = note.held ? tensors.lowest_held : tensors.highest_rest;
    const age = Math.floor(clamp(note.held ? note.sinceOnset : note.sinceRelease, 0, limits.length - 1));
    const limit = (limits[age] - tensors.offset[at]) / tensors.scale[at];
    last[at] = note.held ? Math.max(last[at], limit) : Math.min(last[at], limit);
  }

  /** One value of the mixture; what is random follows from seed and frame. */
  draw(out, temperature, seed, to) {
    const { components, latents } = this;
    const { smallest, largest, rarest } = this.numbers;
    const turn = (n) => clamp(randomTurn(this.frame, seed * VOICE, placed(n + 1000)), 1e-7, 1 - 1e-7);
    let [highest, sum] = [-Infinity, 0];
    for (let c = 0; c < components; c += 1) highest = Math.max(highest, out[c]);
    for (let c = 0; c < components; c += 1) sum += Math.exp(out[c] - highest);
    let [chosen, best] = [0, -Infinity];
    for (let c = 0; c < components; c += 1) {
      const weight = out[c] - highest - Math.log(sum);
      const score = weight - (weight < rarest ? 1e4 : 0) - temperature * Math.log(-Math.log(turn(c)));
      if (score > best) [chosen, best] = [c, score];
    }
    const [middle, half] = [0.5 * (smallest + largest), 0.5 * (largest - smallest)];
    const [means, scales] = [components + chosen * latents, components + (components + chosen) * latents];
    for (let i = 0; i < latents; i += 1) {
      const scale = Math.exp(middle + half * Math.tanh((out[scales + i] - 0.5 * middle) / half));
      to[i] = out[means + i] + temperature * scale * normal(turn(components + i), turn(components + latents + i));
    }
  }
}

/** Draws notes of the corpus by how well what led to them fits what was played. */
export class Improviser {
  constructor({ tensors, improviser }) {
    Object.assign(this, improviser, { notes: tensors.notes });
    this.reset();
  }

  reset() {
    Object.assign(this, { key: 0, level: 0, held: 0, rest: 0, again: 1, leap: 0, length: 0, drawn: 0 });
  }

  /** The next frame: {key, level, held}. `density`: notes a second against the corpus. */
  play(temperature, density, lowest, highest, seed) {
    if (this.held <= 0.5 && this.rest <= 0.5) this.next(temperature, density, lowest, highest, seed);
    const held = this.held > 0.5;
    if (held) this.held -= 1; else this.rest = Math.max(0, this.rest - 1);
    return { key: this.key, level: this.level, held };
  }

  next(temperature, density, lowest, highest, seed) {
    const row = this.choose(Math.max(temperature, this.narrowest), lowest, highest, seed);
    const note = this.notes.subarray(row * this.columns, (row + 1) * this.columns);
    const other = Array.from({ length: 6 }, (_, n) => clamp(randomTurn(this.drawn, seed * VOICE, placed(n)), 1e-9, 1));
    const stretch = Math.exp(this.length_jitter * temperature * normal(other[0], other[2])) / Math.max(density, 1e-3);
    const key = note[0];
    const octaves = Math.max(0, Math.ceil((lowest - key) / 12)) - Math.max(0, Math.ceil((key - highest) / 12));
    const rest = note[5] > 0.5 ? this.shortest_rest + (this.longest_rest - this.shortest_rest) * other[4] : note[3];
    Object.assign(this, {
      leap: f32(key - this.key),
      key: f32(key + 12 * octaves),
      level: f32(note[1] + this.level_jitter * temperature * normal(other[1], other[3])),
      held: Math.max(2, even(note[2] * stretch)),
      rest: even(rest * stretch),
      again: note[5],
      length: f32(Math.log(Math.max(note[2], 1))),
      drawn: this.drawn + 1,
    });
  }

  choose(width, lowest, highest, seed) {
    const { notes, columns } = this;
    let [chosen, best] = [0, -Infinity];
    for (let n = 0; n * columns < notes.length; n += 1) {
      const at = n * columns;
      const far = ((notes[at + 7] - this.key) / this.key_width) ** 2 + ((notes[at + 8] - this.leap) / this.leap_width) ** 2
        + ((notes[at + 9] - this.length) / this.length_width) ** 2;
      const again = this.again > 0.5;
      const turn = clamp(randomTurn(this.drawn, seed * VOICE, placed(n + 5000)), 1e-9, 1 - 1e-9);
      const log = (again ? 0 : (-0.5 * far) / width ** 2) - (again === notes[at + 4] > 0.5 ? 0 : 60)
        - (notes[at] < lowest || notes[at] > highest ? 200 : 0) - Math.log(-Math.log(turn));
      if (log > best) [chosen, best] = [n, log];
    }
    return chosen;
  }
}

/** Key and velocity of what an improviser plays. */
export function asked({ key, level, held }, { loudest, softest }) {
  return [key, held ? 10 ** (clamp(level - loudest, softest, 0) / 40) : 0];
}
