// What sounds now: notes, level, what is heard of a live input, how the engine does.

import { natural } from "./controls.js";
import { clamp, nearestNote, noteAndCents, readable, signed } from "./units.js";

const $ = (id) => document.getElementById(id);
const FLOOR_DB = -60;
const SILENT_DB = -90;
const TICKS_DB = [-60, -48, -36, -24, -18, -12, -6, 0];
const WRITTEN_DB = [-60, -48, -36, -24, -12, 0];
const PEAK_FALL_DB = 0.5;
const MOST_NAMES = 5;
/** Of the confidence: below, the tracker has no pitch. */
const UNSURE = 0.5;

let peak = FLOOR_DB;
let slow = FLOOR_DB;

const share = (db) => 100 * clamp(1 - db / FLOOR_DB, 0, 1);

export function buildTicks() {
  $("ticks").replaceChildren(...TICKS_DB.map((db) => {
    const tick = document.createElement("span");
    tick.textContent = WRITTEN_DB.includes(db) ? `${db}${db ? "" : " dB"}`.replace("-", "−") : "";
    tick.style.left = `${share(db)}%`;
    return tick;
  }));
}

/** MIDI pitches of what sounds: of several keys theirs, of one sound that of its latents. */
function pitches(now, about) {
  const isInstrument = about.n_controls > 0;
  const one = now.held.length < 2 || now.values.mono;
  if (isInstrument && one) return now.heard.length ? [natural(about.axes[0], now.heard[0])] : [];
  return [...now.held].sort((a, b) => a - b).map((pitch) => pitch + (now.values.bend ?? 0));
}

export function showNow(now, about) {
  const sounding = now.level > SILENT_DB;
  slow = sounding ? slow + 0.3 * (Math.max(now.level, FLOOR_DB) - slow) : FLOOR_DB;
  $("loudness").textContent = sounding ? `${readable(slow, 0.1)} dB` : "";
  const [text, dim] = sounding ? what(now, about) : [silence(now, about), true];
  $("note").textContent = text;
  $("note").classList.toggle("silent", dim);
  peak = clamp(Math.max(now.level, peak - PEAK_FALL_DB), FLOOR_DB, 0);
  const [bar, mark] = $("meter").children;
  bar.style.clipPath = `inset(0 ${100 - share(now.level)}% 0 0)`;
  mark.style.left = `calc(${share(peak)}% - 1px)`;
  $("meter").setAttribute("aria-valuenow", clamp(now.level, FLOOR_DB, 0).toFixed(0));
}

/** [text, whether it is less important]. */
function what(now, about) {
  const keys = now.held.length;
  if (about.plays_pitch) return [names(pitches(now, about)), false];
  return [keys ? `${keys} ${keys > 1 ? "keys" : "key"} held` : "", true];
}

function names(midi) {
  if (midi.length !== 1) return midi.slice(0, MOST_NAMES).map((pitch) => nearestNote(pitch).name).join(" ");
  return noteAndCents(midi[0]);
}

function silence(now, about) {
  if (now.muted) return "silent since panic: reset or gain brings it back";
  if (now.keyed) return `silent: strike a key${now.mode === "generate" ? "" : ", or press drone"}`;
  if (now.mode === "transform") return "silent: waiting for the input";
  return now.idle ? "silent: strike a key or move a control" : "silent";
}

/** Pitch of the live input and how sure the tracker is of it. */
export function showHeard(now, about) {
  if (about.n_controls < 3 || !now.heard.length) return;
  const sure = clamp(now.confidence || natural(about.axes[2], now.heard[2]), 0, 1); // older files keep it in the latents only
  const hears = now.mode === "transform" && !now.keyed && sure > UNSURE; // keys choose another pitch
  $("heard-note").textContent = hears ? noteAndCents(natural(about.axes[0], now.heard[0])) : "–";
  $("confidence").firstElementChild.style.clipPath = `inset(0 ${100 * (1 - sure)}% 0 0)`;
  $("confidence").setAttribute("aria-valuenow", sure.toFixed(2));
  $("confidence-word").textContent = `${Math.round(100 * sure)} % sure`;
}

export function showStatus(now, head) {
  const parts = [`${readable(now.real_time_factor, 0.1)}× real time`];
  if (now.underflows) parts.unshift(`${now.underflows} underflows`);
  if (now.limited) parts.push("limited");
  if (now.muted) parts.push("panic: reset or gain brings it back");
  if (head.midi) parts.push(now.port ? `MIDI ${now.port}` : "MIDI port not there");
  $("status").textContent = parts.join(" · ");
  $("status").classList.toggle("bad", now.underflows > 0 || now.muted);
}
