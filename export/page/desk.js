// What the page has set: addresses of OSC in, the state of the controls out. The rules are those of realtime/control/.

import { GENERATE, SAMPLE } from "./file.js";

const NEIGHBOURS = 8;
const CLOSEST = 1e-4;
const MOST_HELD = 16;
const GAIN_GLIDE_MS = 20;
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** Where a field of the state is: an object and a name. */
function place(state, field) {
  const [name, inner] = field.split(".");
  return inner ? [state[name], inner] : [state, name];
}

export class Desk {
  /** `instrument`: see wavevae/export/web.py; `presets` {name: state}, which `keep` stores. */
  constructor({ controls, state, voices, file: { about } }, presets = {}, keep = () => {}) {
    Object.assign(this, { controls, about, voices, presets, keep, state: structuredClone(state) });
    const set = (change) => Object.assign(this.state, change);
    const buttons = {
      freeze: () => set({ frozen: !this.state.frozen }),
      reset: () => set({ resets: this.state.resets + 1, muted: false }),
      panic: () => set({ resets: this.state.resets + 1, muted: true, notes: this.state.notes.map((n) => ({ ...n, held: false, down: false })) }),
      drone: () => set({ keyed: !(this.state.keyed || this.state.idle), idle: false, notes: [] }),
      "prior/reset": () => set({ prior_resets: this.state.prior_resets + 1 }),
    };
    this.actions = { ...buttons, xy: (x, y) => this.setLatents({ ...this.state.latents, ...this.at(x, y) }), mode: (name) => set({ mode: name === "sample" ? SAMPLE : GENERATE }),
      note: (pitch, velocity) => (velocity > 0 ? this.strike(pitch, velocity) : this.lift(pitch)),
      pedal: (down) => this.pressPedal(down > 0), mono: (on) => this.setMono(on > 0), class: (name) => this.setClass(name),
      "preset/store": (name) => this.store(name), "preset/recall": (name, seconds) => this.recall(name, seconds),
      "preset/delete": (name) => this.forget(name) };
  }

  /** One message, as /wavevae/<path> takes it. */
  act(path, ...values) {
    const [kind, which] = path.split("/");
    if (path in this.actions) this.actions[path](...values);
    else if (kind === "latent") this.setLatents({ [which]: clamp(values[0], -10, 10) });
    else if (kind === "note") this.change(values[0], { [which]: values[1] });
    else if (kind === "mix") this.setWeight(Number(which), values[0]);
    else if (path in this.controls) this.setNumber(path, values[0]);
  }

  setNumber(path, value) {
    const { low, high, field } = this.controls[path];
    const within = clamp(value, low, high);
    const axis = this.about.axes.findIndex(({ name }) => name === path);
    if (axis >= 0) {
      const { mean, std } = this.about.axes[axis];
      this.setLatents({ [axis]: (within - mean) / std });
      return;
    }
    const [owner, name] = place(this.state, field);
    owner[name] = within;
    if (path === "gain") Object.assign(this.state, { gain_glide_ms: GAIN_GLIDE_MS, muted: false });
    if (path === "temperature") this.state.settle_ms = this.state.smoothing_ms;
  }

  value(path) {
    const { field } = this.controls[path];
    const axis = this.about.axes.findIndex(({ name }) => name === path);
    if (axis >= 0) return this.about.axes[axis].mean + this.about.axes[axis].std * this.state.latents[axis];
    if (path.startsWith("mix/")) return this.state.mix.find(([label]) => label === Number(path.slice(4)))?.[1] ?? 0;
    const [owner, name] = place(this.state, field);
    return Number(owner[name]);
  }

  /** {axis: target}; the others stay. */
  setLatents(targets, glideMs = this.state.smoothing_ms) {
    const { state } = this;
    const put = (old, value) => old.map((one, i) => (i in targets ? value(i) : one));
    Object.assign(state, { latents: put(state.latents, (i) => targets[i]), glides_ms: put(state.glides_ms, () => glideMs), idle: false });
  }

  /** The latents at a place of the map, 0 to 1: the axes themselves, the further ones a mean of the nearest points'. */
  at(x, y) {
    const { points, map, bounds, n_controls } = this.about;
    const far = map.map(([across, up], i) => [(across - x) ** 2 + (bounds.length > 1 ? (up - y) ** 2 : 0), i]);
    const nearest = far.sort((a, b) => a[0] - b[0]).slice(0, NEIGHBOURS).map(([distance, i]) => [1 / (distance + CLOSEST), points[i]]);
    const sum = nearest.reduce((all, [weight]) => all + weight, 0);
    const targets = {};
    for (let i = 0; n_controls + i < this.state.latents.length; i += 1) {
      if (i < bounds.length) targets[n_controls + i] = bounds[i][0] + [x, y][i] * (bounds[i][1] - bounds[i][0]);
      else if (sum) targets[n_controls + i] = clamp(nearest.reduce((all, [weight, point]) => all + weight * point[i], 0) / sum, -10, 10);
    }
    return targets;
  }

  // notes: a new one takes the voice of its pitch, an unused one, the oldest released, the oldest

  strike(pitch, velocity) {
    const { state } = this;
    const serial = 1 + state.notes.reduce((most, note) => Math.max(most, note.serial), 0);
    const note = { pitch, velocity, held: true, serial, down: true, bend: 0, pressure: 0, slide: 0.5 };
    const notes = [...state.notes];
    const room = state.mono ? MOST_HELD : this.voices;
    if (notes.length < room && !notes.some((n) => n.pitch === pitch)) notes.push(note);
    else notes[this.cheapest(notes, pitch)] = note;
    Object.assign(state, { notes, keyed: true, idle: false });
  }

  cheapest(notes, pitch) {
    const cost = (n) => (n.pitch !== pitch ? 2e15 : 0) + (n.held ? 1e15 : 0) + n.serial;
    return notes.reduce((best, note, i) => (cost(note) < cost(notes[best]) ? i : best), 0);
  }

  lift(pitch) {
    this.state.notes = this.state.notes.map((n) => (n.pitch === pitch && n.down
      ? { ...n, down: false, held: n.held && this.state.pedal } : n));
  }

  change(pitch, change) {
    const { notes } = this.state;
    const newest = notes.filter((n) => n.pitch === pitch && n.held).reduce((a, b) => (a && a.serial > b.serial ? a : b), null);
    this.state.notes = notes.map((n) => (n === newest ? { ...n, ...change } : n));
  }

  pressPedal(down) {
    const notes = down ? this.state.notes : this.state.notes.map((n) => ({ ...n, held: n.held && n.down }));
    Object.assign(this.state, { pedal: down, notes });
  }

  setMono(mono) {
    const { notes } = this.state;
    const kept = [...notes].sort((a, b) => a.held - b.held || a.serial - b.serial).slice(-this.voices);
    Object.assign(this.state, { mono, notes: mono ? notes : notes.filter((n) => kept.includes(n)) });
  }

  // classes

  setClass(name) {
    const label = this.about.classes.indexOf(name);
    Object.assign(this.state, { mix: label < 0 ? [] : [[label, 1]], settle_ms: this.state.smoothing_ms });
  }

  setWeight(label, weight) {
    const others = this.state.mix.filter(([other]) => other !== label);
    Object.assign(this.state, { mix: weight > 0 ? [...others, [label, weight]] : others, settle_ms: this.state.smoothing_ms });
  }

  // presets

  store(name) {
    const { notes, keyed, idle, muted, resets, prior_resets, frozen, pedal, ...kept } = this.state;
    this.presets = { ...this.presets, [name]: structuredClone(kept) };
    this.keep(this.presets);
  }

  recall(name, seconds) {
    const kept = structuredClone(this.presets[name] ?? {});
    const glideMs = seconds === undefined ? this.state.smoothing_ms : 1000 * seconds;
    const glides_ms = this.state.latents.map(() => glideMs);
    const attributes = { ...this.state.attributes, ...kept.attributes };
    Object.assign(this.state, kept, { attributes, glides_ms, settle_ms: glideMs, gain_glide_ms: Math.max(GAIN_GLIDE_MS, glideMs), idle: false });
  }

  forget(name) {
    this.presets = Object.fromEntries(Object.entries(this.presets).filter(([other]) => other !== name));
    this.keep(this.presets);
  }
}
