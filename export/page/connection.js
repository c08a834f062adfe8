// Stands for the connection of the control page: its messages go to an AudioWorklet in this page.

import { Desk } from "./desk.js";
import { SAMPLE, bytesOf } from "./file.js";
import { setUpMidi } from "./midi.js";
import { Recorder } from "./recorder.js";
import { buildStart, say, showStarted } from "./start.js";

/* global INSTRUMENT, wavevaeDsp */

const LOOK_MS = 1000 / 30;
const BANDS = 96;
const LOWEST_HZ = 40;
const FLOOR_DB = -96;
const SCOPE_POINTS = 256;
const WINDOW = 2048;
/** Of a full sine in a Blackman window, as the browser's analyser has it. */
const FULL_SINE_DB = -13.6;

const { about } = INSTRUMENT.file;
const KEPT = `wavevae presets of ${about.name}`;
const desk = new Desk(INSTRUMENT, readPresets(), writePresets);
let [context, node, analyser] = [null, null, null];
let told = () => {};
let look = { heard: [...INSTRUMENT.state.latents], level: -120, real_time_factor: 0, limited: 0 };

function readPresets() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? INSTRUMENT.presets;
  } catch {
    return INSTRUMENT.presets;
  }
}

function writePresets(presets) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(presets));
  } catch {
    say("presets last until the page is closed: this browser keeps nothing for it");
  }
}

export function send(address, ...values) {
  desk.act(address, ...values);
  node?.port.postMessage({ controls: desk.state });
  if (address.startsWith("preset/")) told();
}

/** Calls back as the control page's server does. */
export function connect({ onHead, onFrame }) {
  told = () => onHead({ about, controls: desk.controls, presets: Object.keys(desk.presets), midi: false, bindings: {} });
  told();
  const start = buildStart({ improvises: about.performs });
  start.improvise.addEventListener("click", () => send("mode", desk.state.mode === SAMPLE ? "generate" : "sample"));
  setUpMidi(start.midi, send);
  begin(start).catch((error) => say(error.message));
  setInterval(() => {
    onFrame(frame());
    start.improvise.setAttribute("aria-pressed", String(desk.state.mode === SAMPLE));
  }, LOOK_MS);
}

/** The sound: ready at once, and heard from the first touch on, where the browser wants one. */
async function begin(start) {
  if (!globalThis.AudioWorkletNode) {
    throw new Error("this browser has no AudioWorklet, or keeps it from this page: open it in a current Chrome, Edge, Firefox or "
      + "Safari, by https:// or http://localhost (python3 -m http.server in its folder)");
  }
  context = makeContext(INSTRUMENT.file.rate);
  await addModule(context.audioWorklet, `(${wavevaeDsp})()`);
  node = new AudioWorkletNode(context, "wavevae", { numberOfInputs: 0, outputChannelCount: [1],
    processorOptions: { file: INSTRUMENT.file, numbers: bytesOf(INSTRUMENT.numbers), voices: INSTRUMENT.voices, controls: desk.state } });
  analyser = new AnalyserNode(context, { fftSize: WINDOW, smoothingTimeConstant: 0 });
  node.connect(analyser).connect(context.destination);
  const recorder = new Recorder(start.record, about.name, context.sampleRate, (message) => node.port.postMessage(message));
  node.port.onmessage = ({ data }) => {
    if (data.look) look = data.look;
    if (data.recorded) recorder.take(data.recorded);
    if (data.recordedAll) recorder.end();
  };
  node.onprocessorerror = () => say("the sound has stopped: load the page again");
  wake();
  showStarted(context, start);
}

/** From a page on file:// Chrome takes a text as data alone; another browser may take a blob alone. */
async function addModule(worklet, text) {
  try {
    await worklet.addModule(`data:text/javascript;charset=utf-8,${encodeURIComponent(text)}`);
  } catch {
    try {
      await worklet.addModule(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    } catch {
      throw new Error("this browser does not play a page from a file: run `python3 -m http.server` in its folder and open "
        + "http://localhost:8000");
    }
  }
}

/** At the instrument's rate, or where the browser has none of its own, at the device's. */
function makeContext(sampleRate) {
  const latencyHint = "interactive";
  try {
    return new AudioContext({ sampleRate, latencyHint });
  } catch {
    const other = new AudioContext({ latencyHint });
    say(`this browser plays at ${other.sampleRate} Hz only: the sound is resampled from ${sampleRate} Hz, a little duller`);
    return other;
  }
}

/** A browser lets a page sound once it was touched. */
function wake() {
  const resume = () => { if (context.state !== "running") context.resume(); };
  for (const touch of ["pointerdown", "pointerup", "touchend", "keydown", "click"]) addEventListener(touch, resume, true);
}

// what the page shows

function frame() {
  const { state } = desk;
  const values = Object.fromEntries(Object.keys(desk.controls).map((path) => [path, desk.value(path)]));
  return { values, ...look, ...picture(), underflows: 0, learning: "", port: "", confidence: 0, bias: state.latents.map(() => 0),
    muted: state.muted, idle: state.idle, keyed: state.keyed || state.mode === SAMPLE, input_pitch: -2, input_class: -2,
    targets: state.latents, mode: state.mode === SAMPLE ? "sample" : "generate", mix: state.mix,
    held: [...state.notes].sort((a, b) => a.serial - b.serial).filter((n) => n.held).map((n) => n.pitch) };
}

const recent = new Float32Array(WINDOW);
const bins = new Float32Array(WINDOW / 2);

function picture() {
  if (!analyser) return { scope: new Array(SCOPE_POINTS).fill(0), spectrum: new Array(BANDS).fill(FLOOR_DB) };
  analyser.getFloatTimeDomainData(recent);
  analyser.getFloatFrequencyData(bins);
  return { scope: scope(), spectrum: spectrum(context.sampleRate) };
}

/** From a rising zero crossing on: it stands still for a tone. */
function scope() {
  let start = 0;
  while (start < WINDOW / 2 && !(recent[start] < 0 && recent[start + 1] >= 0)) start += 1;
  if (start === WINDOW / 2) start = 0;
  const step = WINDOW / 2 / SCOPE_POINTS;
  return Array.from({ length: SCOPE_POINTS }, (_, i) => Math.round(100 * recent[start + i * step]));
}

/** Levels of bands evenly spaced in pitch, dB. */
function spectrum(rate) {
  const edge = (i) => (LOWEST_HZ * (rate / 2 / LOWEST_HZ) ** (i / BANDS) * WINDOW) / rate;
  return Array.from({ length: BANDS }, (_, i) => {
    let highest = FLOOR_DB;
    for (let k = Math.floor(edge(i)); k < Math.max(Math.floor(edge(i)) + 1, edge(i + 1)); k += 1) {
      highest = Math.max(highest, (bins[Math.min(k, bins.length - 1)] ?? FLOOR_DB) - FULL_SINE_DB);
    }
    return Math.round(highest);
  });
}
