// Controls -> blocks of sound: realtime/engine/engine.py with the sources that a page has.

import { Decoder } from "./decoder.js";
import { Workspace } from "./matrix.js";
import { Improviser, Performer, asked } from "./prior.js";
import { Polyphony, Ramp } from "./voices.js";

const FADE_MS = 10;
const RELEASE_MS = 80;
/** Beside the weights: tables, and what rows hold. */
const ROOM_BYTES = 16e6;

/** Performer and improviser of a file, in its units. */
class Prior {
  constructor(file, rows, space) {
    this.file = file;
    const inner = { ...file.prior, tensors: {} };
    for (const [name, values] of Object.entries(file.tensors)) {
      if (name.startsWith("prior.")) inner.tensors[name.slice(6)] = values;
    }
    this.inner = inner;
    this.performer = new Performer(inner, rows, space);
    this.improviser = new Improviser(inner);
    this.played = Array.from({ length: rows }, () => new Float32Array(file.about.axes.length));
    this.classes = [];
  }

  reset() {
    this.performer.reset();
    this.improviser.reset();
  }

  improvise({ prior_temperature, prior_density, prior_lowest, prior_highest, prior_seed }) {
    return asked(this.improviser.play(prior_temperature, prior_density, prior_lowest, prior_highest, prior_seed), this.inner);
  }

  perform(keys, rows, { attributes }) {
    const { offset, factor } = this.file.tensors;
    const z = this.performer.play(keys, rows, this.classes, attributes.prior_temperature, attributes.prior_seed,
      this.inner.seedOfRow);
    for (const row of rows) {
      this.played[row].forEach((_, i, played) => { played[i] = (z[row][i] - offset[i]) / factor[i]; });
    }
    return this.played;
  }
}

/** Keeps what is beyond full scale within it. */
class Limiter {
  constructor(rate) {
    this.fall = 1000 / (RELEASE_MS * rate);
    this.envelope = -Infinity;
    this.limited = 0;
  }

  next(x) {
    const size = Math.abs(x);
    if (size > 1) this.limited += 1;
    if (size <= 1 && this.envelope <= 0) return x;
    this.envelope = Math.max(Math.log(Math.max(size, 1e-30)), this.envelope - this.fall);
    return Math.min(Math.max(x * Math.exp(-Math.max(this.envelope, 0)), -1), 1);
  }
}

/** What voices need to know of a file. */
function modelOf({ about, rate, hop, prior }, voices) {
  const { axes } = about;
  const [mean, std] = [axes.map((axis) => axis.mean), axes.map((axis) => axis.std)];
  return { mean, std, voices, framesAMs: rate / hop / 1000, performs: Boolean(prior), loudest: about.loudest,
    pitched: about.plays_pitch, loudnessAt: axes.findIndex(({ name }) => name === "loudness"),
    brightAt: axes.findIndex(({ name }) => name === "brightness"),
    atRest: about.typical.map((deviations, i) => mean[i] + std[i] * deviations) };
}

export class Synth {
  /** `file`: of file.js. */
  constructor(file, voices, withKernel = true) {
    const rows = Polyphony.rows(voices);
    const weights = Object.values(file.tensors).reduce((sum, values) => sum + values.length, 0);
    const space = new Workspace(4 * weights + ROOM_BYTES, withKernel);
    Object.assign(this, { file, hop: file.hop, rate: file.rate, model: modelOf(file, voices), fast: Boolean(space.kernel) });
    this.prior = file.prior ? new Prior(file, rows, space) : null;
    this.decoder = new Decoder(file, rows, space);
    this.polyphony = new Polyphony(this.model, this.decoder, this.prior);
    this.limiter = new Limiter(file.rate);
    this.gate = new Ramp(0);
    this.gain = this.glides = null;
    this.resets = 0;
    this.base = new Float32Array(this.model.mean.length);
    this.deviations = new Float64Array(this.base.length);
    this.ready = new Float32Array(this.hop);
    this.left = 0;
  }

  steps(milliseconds) {
    return (milliseconds / 1000) * this.rate;
  }

  frameSteps(milliseconds) {
    return milliseconds * this.model.framesAMs;
  }

  /** Fills `block`; the controls hold for all of it. */
  process(controls, block) {
    const resetting = controls.resets !== this.resets;
    this.gate.aim(controls.muted || resetting ? 0 : 1, this.steps(FADE_MS));
    if (this.gate.restsAt(0)) {
      if (resetting) this.reset(controls);
      block.fill(0);
      return;
    }
    const gain = 10 ** (controls.gain_db / 20);
    this.gain ??= new Ramp(gain);
    this.gain.aim(gain, this.steps(controls.gain_glide_ms));
    for (let i = 0; i < block.length; i += 1) {
      if (!this.left) this.frame(controls);
      const sample = this.ready[this.hop - this.left];
      this.left -= 1;
      block[i] = this.limiter.next(sample * this.gain.next() * this.gate.next());
    }
  }

  reset(controls) {
    this.resets = controls.resets;
    this.left = 0;
    this.polyphony.reset();
    this.mix = null;
    this.glides?.forEach((glide, i) => glide.jump(controls.latents[i]));
  }

  frame(controls) {
    this.followClasses(controls);
    this.polyphony.follow(controls);
    this.nextBase(controls);
    this.ready.fill(0);
    this.polyphony.frame(this.base, controls, this.ready);
    if (!this.ready.every(Number.isFinite)) {
      this.ready.fill(0);
      this.polyphony.reset();
    }
    this.left = this.hop;
  }

  /** The sliders' targets, glided to and shaken. */
  nextBase(controls) {
    if (controls.frozen && this.glides) return;
    this.glides ??= controls.latents.map((value) => new Ramp(value));
    this.temperature ??= new Ramp(controls.temperature);
    this.temperature.aim(controls.temperature, this.frameSteps(controls.settle_ms));
    const temperature = this.temperature.next();
    controls.latents.forEach((value, i) => {
      this.glides[i].aim(value, this.frameSteps(controls.glides_ms[i]));
      const learned = i >= this.file.about.n_controls;
      const shaken = learned && temperature ? temperature * gaussian() : 0;
      this.deviations[i] = Math.fround(Math.fround(this.glides[i].next()) + shaken);
      this.base[i] = this.deviations[i] * this.model.std[i] + this.model.mean[i];
    });
  }

  followClasses(controls) {
    const names = this.file.about.classes;
    if (!names.length) return;
    const wanted = names.map((_, label) => controls.mix.find(([other]) => other === label)?.[1] ?? 0);
    const sum = Math.max(1, wanted.reduce((a, b) => a + b, 0));
    this.mix ??= wanted.map((weight) => new Ramp(weight / sum));
    const shares = this.mix.map((ramp, i) => {
      ramp.aim(wanted[i] / sum, this.frameSteps(controls.settle_ms));
      return ramp.next();
    });
    this.decoder.setClasses(shares);
    if (this.prior) this.prior.classes = shares;
  }

  /** What sounds, in standard deviations. */
  heard() {
    const { newest } = this.polyphony;
    if (!newest) return [...this.deviations];
    return [...newest].map((value, i) => (value - this.model.mean[i]) / this.model.std[i]);
  }
}

const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
