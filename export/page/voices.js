// The notes of an instrument: realtime/engine/polyphony.py, a frame at a time. Every voice is a row of the decoder.

import { GENERATE, SAMPLE, even } from "./file.js";

const SPARE_ROWS = 2;
const RANGE_DB = 60;
const FLOOR_DB = -100;
const TAKEN_OVER_MS = 30;
const CHANGE_MS = 20;
const SOFTEST_DB = -40;
const CHORD_DB = -6;
const PRESSED_DB = 3;
const SLIDE_DEVIATIONS = 2;
const [MIDDLE_KEY, OCTAVE] = [60, 12];
/** Places beside those of the notes. */
const [DRONE, NOWHERE, MADE_UP] = [-1, -2, -3];

const f32 = Math.fround;
const velocityDb = (velocity) => Math.max(SOFTEST_DB, 40 * Math.log10(Math.max(velocity, 1e-6)));

/** A number that glides to its target in a given number of steps. */
export class Ramp {
  constructor(value) {
    this.jump(value);
  }

  jump(value) {
    Object.assign(this, { value, target: value, left: 0 });
  }

  /** Arrives after `steps` steps, one at least; the same target again changes nothing. */
  aim(target, steps) {
    if (target !== this.target) Object.assign(this, { target, left: Math.max(1, even(steps)) });
  }

  restsAt(value) {
    return this.left === 0 && this.value === value;
  }

  next() {
    if (this.left > 0) {
      this.value = this.left === 1 ? this.target : this.value + (this.target - this.value) / this.left;
      this.left -= 1;
    }
    return this.value;
  }
}

/** Attack in a straight line of amplitude; decay and release in dB. */
class Envelope {
  constructor(framesAMs) {
    Object.assign(this, { framesAMs, attacking: false, silent: true, db: -Infinity });
  }

  strike() {
    Object.assign(this, { attacking: true, silent: false });
  }

  next(held, { attack, decay, sustain, release }) {
    if (this.silent) return FLOOR_DB;
    if (this.attacking) {
      const amplitude = 10 ** (this.db / 20) + 1 / this.frames(attack);
      this.attacking = amplitude < 1 - 1e-6;
      this.db = Math.min(0, 20 * Math.log10(amplitude));
      return this.db;
    }
    const lowest = held ? 20 * Math.log10(Math.max(sustain, 1e-6)) : -Infinity;
    const step = RANGE_DB / this.frames(held ? decay : release);
    this.db = this.db > lowest ? Math.max(lowest, this.db - step) : Math.min(lowest, this.db + step);
    if (this.db > -RANGE_DB) return this.db;
    Object.assign(this, { silent: true, db: -Infinity });
    return FLOOR_DB;
  }

  frames(milliseconds) {
    return Math.max(1, milliseconds * this.framesAMs);
  }
}

/** One note -> frames, in the file's units. */
class Voice {
  constructor(model) {
    Object.assign(this, { model, note: null, place: NOWHERE, held: false, takenOver: false, performs: false, asked: true });
    this.envelope = new Envelope(model.framesAMs);
    [this.pitch, this.level] = [new Ramp(0), new Ramp(0)];
  }

  get silent() {
    return this.envelope.silent;
  }

  get serial() {
    return this.note?.serial ?? -1;
  }

  strike(place, note, controls) {
    Object.assign(this, { place, note, held: note ? note.held : true, takenOver: false, asked: false });
    this.performs = this.model.performs && (place === MADE_UP || (note !== null && controls.perform > 0));
    if (note) {
      this.pitch.jump(note.pitch);
      this.level.jump(this.wanted(note, controls));
    }
    this.envelope.strike();
  }

  slideTo(note, glideMs) {
    this.note = note;
    this.pitch.aim(note.pitch, glideMs * this.model.framesAMs);
  }

  follow(note) {
    Object.assign(this, { note, held: note.held });
  }

  leave() {
    Object.assign(this, { takenOver: this.held, held: false, place: NOWHERE });
  }

  /** [key, velocity] for the prior. However short, a note has a frame to begin in. */
  ask(madeUp) {
    if (this.place === MADE_UP && madeUp) return madeUp;
    if (!this.performs || !this.note) return [0, 0];
    const velocity = this.held || !this.asked ? this.note.velocity : 0;
    this.asked = true;
    return [this.note.pitch, velocity];
  }

  /** How its note is played by the prior, moved as base differs from its rest. */
  performed(base, played, controls, z) {
    const { model, note } = this;
    const at = model.loudnessAt;
    for (let i = 0; i < z.length; i += 1) z[i] = played[i] + (base[i] - model.atRest[i]);
    const release = this.takenOver ? TAKEN_OVER_MS : controls.release_ms;
    let loudness = z[at] + (note && model.voices > 1 ? CHORD_DB : 0)
      + this.envelope.next(this.held, { attack: 0, decay: 0, sustain: 1, release });
    let pitch = played[0] + controls.bend;
    if (note) {
      this.level.aim(this.wanted(note, controls), CHANGE_MS * model.framesAMs);
      loudness += this.level.next() - velocityDb(note.velocity);
      pitch += this.pitch.next() - note.pitch + note.bend;
      this.addSlide(note, z);
    }
    z[at] = loudness;
    if (model.pitched) z[0] = pitch;
  }

  /** With the plain envelope. */
  frames(base, controls, z) {
    const { model, note } = this;
    const at = model.loudnessAt;
    z.set(base);
    const shape = { attack: controls.attack_ms, decay: controls.decay_ms, sustain: controls.sustain,
      release: this.takenOver ? TAKEN_OVER_MS : controls.release_ms };
    const envelope = this.envelope.next(this.held, shape);
    if (!note) {
      z[at] += envelope;
      if (model.pitched) z[0] += controls.bend;
      return;
    }
    this.level.aim(this.wanted(note, controls), CHANGE_MS * model.framesAMs);
    const key = this.pitch.next() + note.bend + controls.bend;
    z[at] = model.loudest + (model.voices > 1 ? CHORD_DB : 0) + this.level.next() + envelope;
    if (model.pitched) z[0] = key;
    else if (model.brightAt >= 0) z[model.brightAt] += (key - MIDDLE_KEY) / OCTAVE;
    this.addSlide(note, z);
  }

  addSlide(note, z) {
    if (this.model.brightAt >= 0) z[this.model.brightAt] += SLIDE_DEVIATIONS * (2 * note.slide - 1);
  }

  /** dB above the loudest: by velocity, and pressure on top. */
  wanted(note, controls) {
    const struck = velocityDb(note.velocity);
    return struck + Math.max(note.pressure, controls.pressure) * (PRESSED_DB - struck);
  }
}

/** Plays the controls' notes; without keys, the base frames. */
export class Polyphony {
  /** `prior`: {performer, improviser, play(...)} or null; see synth.js. */
  constructor(model, decoder, prior) {
    Object.assign(this, { model, decoder, prior });
    this.batch = Array.from({ length: decoder.rows }, () => new Float32Array(model.mean.length));
    this.reset();
  }

  static rows(voices) {
    return voices + SPARE_ROWS;
  }

  reset() {
    this.voices = this.batch.map(() => new Voice(this.model));
    Object.assign(this, { last: null, struck: null, newest: null, performing: false, priorResets: null });
    this.decoder.reset();
    this.prior?.reset();
  }

  follow(controls) {
    if (this.priorResets !== null && this.priorResets !== controls.prior_resets) this.prior?.improviser.reset();
    this.priorResets = controls.prior_resets;
    const wanted = this.wanted(controls);
    for (const voice of this.voices) if (!wanted.has(voice.place)) voice.held = false;
    for (const [place, note] of wanted) this.play(place, note, controls);
    this.struck = controls.notes.reduce((most, { serial }) => Math.max(most, serial), this.struck ?? 0);
  }

  /** What is to sound at which place. */
  wanted(controls) {
    if (this.prior && controls.mode === SAMPLE) {
      return new Map([[MADE_UP, null], ...(controls.keyed ? this.keys(controls) : [])]);
    }
    if (controls.keyed) return new Map(this.keys(controls));
    return new Map(controls.idle && controls.mode === GENERATE ? [] : [[DRONE, null]]);
  }

  keys(controls) {
    if (!controls.mono) return controls.notes.map((note, i) => [i, note]);
    const newest = (notes) => notes.reduce((a, b) => (b.serial > a.serial ? b : a));
    const held = controls.notes.filter((note) => note.held);
    if (held.length) this.last = newest(held);
    else if (controls.notes.length && this.isNew(newest(controls.notes))) this.last = newest(controls.notes);
    else if (controls.notes.length && this.last) this.last = { ...this.last, held: false };
    return this.last ? [[0, this.last]] : [];
  }

  /** Not yet struck. At the beginning those that are held are, and no others. */
  isNew(note) {
    return this.struck === null ? note.held : note.serial > this.struck;
  }

  play(place, note, controls) {
    const voice = this.voices.find((v) => v.place === place && !v.silent);
    if (voice?.note && note) {
      if (voice.note.serial === note.serial) {
        voice.follow(note);
        return;
      }
      if (controls.mono && voice.held && note.held && note.pitch !== voice.note.pitch) {
        voice.slideTo(note, controls.glide_ms);
        return;
      }
    }
    if (note ? !this.isNew(note) : voice?.held) return;
    voice?.leave();
    this.strike(place, note, controls);
  }

  strike(place, note, controls) {
    let row = this.voices.findIndex((voice) => voice.silent);
    if (row >= 0) this.decoder.restart(row);
    else {
      const cost = ({ held, serial }) => (held ? 1e15 : 0) + serial;
      row = this.voices.reduce((best, voice, i) => (cost(voice) < cost(this.voices[best]) ? i : best), 0);
    }
    this.prior?.performer.restart(row);
    this.voices[row].strike(place, note, controls);
  }

  /** The next frame: adds the sound of all voices to `sound`. */
  frame(base, controls, sound) {
    const rows = this.voices.flatMap((voice, row) => (voice.silent ? [] : [row]));
    const performed = this.perform(rows, controls);
    this.newest = null;
    if (!rows.length) return;
    for (const row of rows) {
      const voice = this.voices[row];
      if (voice.performs) voice.performed(base, performed[row], controls, this.batch[row]);
      else voice.frames(base, controls, this.batch[row]);
    }
    this.newest = this.batch[rows.reduce((a, b) => (this.voices[b].serial > this.voices[a].serial ? b : a))];
    const sounds = this.decoder.play(this.batch, rows, controls.attributes.life);
    for (const row of rows) for (let i = 0; i < sound.length; i += 1) sound[i] = f32(sound[i] + sounds[row][i]);
  }

  /** What the prior plays, by row, from the first note on that it plays. */
  perform(rows, controls) {
    this.performing ||= this.voices.some((voice) => voice.performs);
    if (!this.prior || !this.performing) return null;
    const madeUp = this.voices.some((voice) => voice.place === MADE_UP) ? this.prior.improvise(controls.attributes) : null;
    return this.prior.perform(this.voices.map((voice) => voice.ask(madeUp)), rows, controls);
  }
}
