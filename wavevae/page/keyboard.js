// The keyboard: fingers, mouse, pen, computer keys. One pointer is one note.

import { element } from "./widgets.js";
import { clamp, noteName } from "./units.js";

const BLACK = new Set([1, 3, 6, 8, 10]);
const isBlack = (pitch) => BLACK.has(pitch % 12);
const HIGHEST = 127;
/** From the left: C, C sharp, D ... by their places on the computer's keyboard. */
const COMPUTER_KEYS = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH", "KeyU", "KeyJ",
  "KeyK", "KeyO", "KeyL", "KeyP"];
const WHITE_WIDTH = 42;
const FEWEST_WHITE = 8;
const BLACK_WIDTH = 0.6;
const BLACK_HEIGHT = 0.6;
const SOFTEST = 0.2;
const TYPED_VELOCITY = 0.8;

export class Keyboard {
  /** `onOctave` is called with the pitch of the computer's first key when it moves. */
  constructor(container, send, onOctave) {
    Object.assign(this, { container, send, onOctave, lowest: 48, base: 60, marked: null, active: false });
    /** pitch -> what holds it: pointers, computer keys. */
    this.holders = new Map();
    /** pointer or computer key -> {pitch, velocity}. */
    this.sources = new Map();
    this.listen();
    new ResizeObserver(() => this.layOut()).observe(container);
  }

  /** Opens at the pitches of the training data; without them in the middle. */
  open(active, corpus) {
    this.active = active;
    const opened = JSON.stringify([active, corpus]);
    if (this.opened === opened) return;
    this.opened = opened;
    this.marked = corpus;
    this.base = corpus ? clamp(12 * Math.floor((corpus[0] + corpus[1]) / 24), 0, 108) : 60;
    this.lowest = null;
    this.layOut();
    this.onOctave(this.base);
  }

  // where the keys are

  layOut() {
    const width = this.container.clientWidth;
    if (!width || !this.active) return;
    this.whites = clamp(Math.floor(width / WHITE_WIDTH), FEWEST_WHITE, 52);
    if (this.lowest === null) this.lowest = this.firstKey();
    this.lowest = this.within(this.lowest);
    this.build(width / this.whites);
  }

  /** The corpus in the middle if there is room for it, else from the C under its middle. */
  firstKey() {
    if (!this.marked) return this.base - (this.whites >= 22 ? 12 : 0);
    const [low, high] = this.marked.map(Math.round);
    const span = whitesBetween(low, high);
    if (span > this.whites) return this.base;
    return downBy(low, Math.floor((this.whites - span) / 2));
  }

  /** Moved so that all keys are MIDI pitches and the computer's keys are among them. */
  within(lowest) {
    let first = isBlack(lowest) ? lowest - 1 : lowest;
    if (this.base < first) first = this.base;
    while (upBy(first, this.whites - 1) < this.base + 11 && upBy(first, this.whites - 1) < HIGHEST) first = upBy(first, 1);
    while (first > 0 && whitesBetween(first, HIGHEST) < this.whites) first = downBy(first, 1);
    return Math.max(0, first);
  }

  build(white) {
    const height = this.container.clientHeight;
    this.keys = new Map();
    let pitch = this.lowest;
    for (let i = 0; i < this.whites && pitch <= HIGHEST; pitch += 1) {
      const black = isBlack(pitch);
      const wide = black ? BLACK_WIDTH * white : white;
      const left = black ? i * white - wide / 2 : i * white;
      this.keys.set(pitch, { left, right: left + wide, bottom: black ? BLACK_HEIGHT * height : height, black });
      if (!black) i += 1;
    }
    this.container.replaceChildren(...[...this.keys].map(([p, place]) => this.key(p, place)));
    this.focusable(this.keys.has(this.base) ? this.base : this.lowest);
  }

  key(pitch, { left, right, bottom, black }) {
    const inside = !this.marked || (pitch >= Math.round(this.marked[0]) && pitch <= Math.round(this.marked[1]));
    const letter = COMPUTER_KEYS[pitch - this.base]?.slice(3).toLowerCase() ?? "";
    const name = pitch % 12 === 0 ? noteName(pitch) : "";
    const key = element("button", { className: `${black ? "black" : "white"}${inside ? "" : " outside"}`, tabIndex: -1,
      "aria-label": `note ${noteName(pitch)}${inside ? "" : ", outside the training data"}` },
    element("kbd", { textContent: letter, "aria-hidden": "true" }), element("span", { textContent: name }));
    if (this.marked && inside) key.classList.add("marked");
    key.dataset.pitch = pitch;
    key.style.left = `${left}px`;
    key.style.width = `${right - left}px`;
    key.style.height = `${bottom}px`;
    return key;
  }

  /** Tab goes to one key, arrow keys to the others. */
  focusable(pitch, focus = false) {
    for (const key of this.container.children) {
      const chosen = Number(key.dataset.pitch) === pitch;
      key.tabIndex = chosen ? 0 : -1;
      if (chosen && focus) key.focus();
    }
  }

  shift(semitones) {
    const base = this.base + semitones;
    if (base < 0 || base > 120) return;
    this.base = base;
    this.lowest = this.within(this.lowest + semitones);
    this.layOut();
    this.onOctave(this.base);
  }

  // notes

  press(source, pitch, velocity) {
    const before = this.sources.get(source);
    this.sources.set(source, { pitch, velocity });
    if (!this.holders.has(pitch)) this.holders.set(pitch, new Set());
    this.holders.get(pitch).add(source);
    this.send("note", pitch, velocity);
    if (before && before.pitch !== pitch) this.lift(source, before.pitch); // after the new one: legato
  }

  release(source) {
    const note = this.sources.get(source);
    if (!note) return;
    this.sources.delete(source);
    this.lift(source, note.pitch);
  }

  lift(source, pitch) {
    const holders = this.holders.get(pitch);
    holders?.delete(source);
    if (holders?.size) return;
    this.holders.delete(pitch);
    this.send("note", pitch, 0);
  }

  releaseAll() {
    for (const source of [...this.sources.keys()]) this.release(source);
  }

  /** Keys that are held, and the one that the instrument plays by itself, or null. */
  show(pitches, improvised) {
    const held = new Set(pitches);
    for (const key of this.container.children) {
      const pitch = Number(key.dataset.pitch);
      key.classList.toggle("down", held.has(pitch));
      key.classList.toggle("improvised", pitch === improvised);
    }
  }

  // hands

  /** The key at a pointer: {pitch, share of its height}. */
  at(event) {
    const box = this.container.getBoundingClientRect();
    const [x, y] = [clamp(event.clientX - box.left, 0, box.width - 1), clamp(event.clientY - box.top, 0, box.height - 1)];
    const hits = [...this.keys].filter(([, k]) => x >= k.left && x < k.right && y <= k.bottom);
    const [pitch, place] = hits.find(([, k]) => k.black) ?? hits[0] ?? [];
    return pitch === undefined ? null : { pitch, share: y / place.bottom };
  }

  listen() {
    const { container } = this;
    container.addEventListener("pointerdown", (event) => this.touch(event));
    container.addEventListener("pointermove", (event) => this.slide(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      container.addEventListener(end, (event) => this.release(event.pointerId));
    }
    for (const unwanted of ["contextmenu", "mousedown", "dragstart"]) {
      container.addEventListener(unwanted, (event) => event.preventDefault());
    }
    container.addEventListener("keydown", (event) => this.steer(event));
    container.addEventListener("keyup", (event) => {
      if ([" ", "Enter"].includes(event.key)) this.release("focus");
    });
    document.addEventListener("keydown", (event) => this.type(event));
    document.addEventListener("keyup", (event) => this.release(event.code));
    window.addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.releaseAll(); });
  }

  touch(event) {
    const key = event.button > 0 ? null : this.at(event);
    if (!key) return;
    this.container.setPointerCapture(event.pointerId);
    this.press(event.pointerId, key.pitch, SOFTEST + (1 - SOFTEST) * key.share);
    this.sources.get(event.pointerId).pressure = event.pressure;
  }

  /** To another key: its note. On the same key, where the pointer feels it: pressure. */
  slide(event) {
    const note = this.sources.get(event.pointerId);
    const key = note && this.at(event);
    if (!key) return;
    if (key.pitch !== note.pitch) {
      this.press(event.pointerId, key.pitch, note.velocity);
      this.sources.get(event.pointerId).pressure = event.pressure;
    } else if (event.pointerType !== "mouse" && event.pressure !== note.pressure) {
      note.pressure = event.pressure;
      this.send("note/pressure", note.pitch, event.pressure);
    }
  }

  /** Space and arrow keys, on a key that has the focus. */
  steer(event) {
    const pitch = Number(event.target.dataset.pitch);
    if ([" ", "Enter"].includes(event.key)) {
      event.preventDefault();
      if (!event.repeat) this.press("focus", pitch, TYPED_VELOCITY);
    }
    const move = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!move || !this.keys.has(pitch + move)) return;
    event.preventDefault();
    this.focusable(pitch + move, true);
  }

  /** The computer's keys, unless something else is being typed. */
  type(event) {
    const elsewhere = event.target.matches("input:not([type=range]), select") || event.ctrlKey || event.metaKey || event.altKey;
    if (!this.active || elsewhere || event.repeat) return;
    if (event.code === "KeyZ") this.shift(-12);
    if (event.code === "KeyX") this.shift(12);
    const place = COMPUTER_KEYS.indexOf(event.code);
    const pitch = this.base + place;
    if (place >= 0 && pitch <= HIGHEST) this.press(event.code, pitch, TYPED_VELOCITY);
  }
}

/** White keys from one pitch to another, both ends counted. */
function whitesBetween(low, high) {
  let count = 0;
  for (let pitch = low; pitch <= high; pitch += 1) count += isBlack(pitch) ? 0 : 1;
  return count;
}

/** So many white keys further up. */
function upBy(pitch, whites) {
  let reached = pitch;
  for (let i = 0; i < whites; i += 1) reached += isBlack(reached + 1) ? 2 : 1;
  return reached;
}

/** So many white keys further down, from the white key at or under `pitch`. */
function downBy(pitch, whites) {
  let reached = isBlack(pitch) ? pitch - 1 : pitch;
  for (let i = 0; i < whites; i += 1) reached -= isBlack(reached - 1) ? 2 : 1;
  return reached;
}
