// The control page: everything goes out as OSC addresses, everything shown comes back from the instrument.

import { connect, send } from "./connection.js";
import { corpusPitches, describe, mixSliders, natural, wheel } from "./controls.js";
import { drawScope, drawSpectrum } from "./drawing.js";
import { Keyboard } from "./keyboard.js";
import { clickable, learnButton, learnable, setUpLearning, showLearning } from "./learning.js";
import { buildMap, setUpMap, showMap } from "./map.js";
import { buildTicks, showHeard, showNow, showStatus } from "./now.js";
import { noteName } from "./units.js";
import { Slider, Switch, check, element, radios } from "./widgets.js";

const $ = (id) => document.getElementById(id);

let head = null;
let about = null;
/** The model that the page was built for. */
let built = "";
/** What came last, and what was shown last. */
let frame = null;
let last = null;
/** What shows a value: sliders and switches. */
let shown = [];
const keyboard = new Keyboard($("keys"), send, (base) => { $("octave").textContent = noteName(base); });

// cards, in as many columns as there is room for

const WIDE = matchMedia("(min-width: 75rem)");
const MIDDLE = matchMedia("(min-width: 46rem)");

let arranged = "";

function arrange() {
  const three = about?.n_controls ? [["drive", "look"], ["map", "labels"], ["input", "timbre", "keep"]]
    : [["drive"], ["input", "map"], ["labels", "keep", "look"]];
  const columns = WIDE.matches ? three
    : MIDDLE.matches ? [["drive", "timbre", "keep"], ["input", "map", "labels", "look"]]
      : [["drive", "input", "map", "timbre", "labels", "keep", "look"]];
  if (arranged === String(columns)) return; // what has the focus keeps it
  arranged = String(columns);
  const made = columns.map((names) => element("div", { className: "column" }, ...names.map($)));
  document.querySelectorAll(".column").forEach((old) => old.remove());
  document.querySelector("main").prepend(...made);
}

// building, whenever the model changes

/** A preset or a binding more leaves the sliders alone: one may be in a hand. */
function update(news) {
  const model = JSON.stringify([news.about, news.controls, news.midi]);
  head = news;
  about = news.about;
  if (model !== built) build();
  built = model;
  buildPresets();
  for (const one of shown) one.binding.textContent = head.bindings[`/wavevae/${one.path}`] ?? "";
}

function build() {
  document.title = `${about.name} · wavevae`;
  $("model").textContent = about.name;
  shown = [];
  arrange();
  radios($("modes"), about.modes, (button, name) => clickable(button, "mode", name));
  $("modes").hidden = about.modes.length < 2;
  buildControls(describe(head));
  buildInput();
  buildClasses();
  buildMap(about);
  buildDock();
}

function buildControls({ named, axes, rest, fitting, groups }) {
  const isCodec = about.n_controls === 0;
  const first = isCodec ? [...axes, ...named] : named;
  $("controls-title").textContent = isCodec ? "axes" : "controls";
  fill($("controls"), first);
  fill($("axes"), isCodec ? [] : axes);
  $("timbre").hidden = isCodec || !axes.length;
  fill($("rest").querySelector(".rows"), rest);
  $("rest-title").textContent = `${rest.length} more axes`;
  $("rest").hidden = !rest.length;
  fill($("fitting"), about.hears ? fitting : []);
  const parts = groups.map(([title, sliders]) => {
    const rows = element("div", { className: "rows" });
    fill(rows, sliders);
    return element("section", {}, element("h3", { textContent: title }), rows);
  });
  $("more").querySelector(".groups").replaceChildren(...parts, ...(head.midi ? [learnButton()] : []));
}

function fill(container, descriptions) {
  container.replaceChildren(...descriptions.map((description) => {
    const made = new (description.switches ? Switch : Slider)({ ...description, send: (value) => act(description, value) });
    Object.assign(made, { axis: description.axis, natural: description.natural });
    shown.push(made);
    return learnable(made.row, description.path);
  }));
}

/** While a live input drives, a learned axis is added to what it says. */
const adds = ({ path }) => last?.mode === "transform" && path.startsWith("latent/");

function act(description, value) {
  send(adds(description) ? `bias/${description.axis}` : description.path, value);
}

function buildInput() {
  $("input").hidden = !about.hears;
  $("heard").hidden = about.n_controls < 3;
  const choice = $("heard-class").lastElementChild;
  const pitch = $("heard-pitch").lastElementChild;
  $("heard-class").hidden = !about.has_input_class;
  $("heard-pitch").hidden = !about.has_input_pitch;
  $("heard-as").hidden = !about.has_input_class && !about.has_input_pitch;
  // -2 is "the same as what sounds", -1 "none"
  choice.replaceChildren(...["same class", "unknown class", ...about.classes].map((name, i) => element("option",
    { textContent: name, value: i - 2 })));
  choice.onchange = () => send("input_class", Number(choice.value));
  pitch.onchange = () => send("input_pitch", Number.isNaN(pitch.valueAsNumber) ? -2 : pitch.valueAsNumber);
}

function buildClasses() {
  $("labels").hidden = !about.classes.length;
  radios($("classes"), ["none", ...about.classes], (button, name) => clickable(button, "class", name));
  const mixes = about.classes.length > 1 && "mix/0" in head.controls;
  $("mix").hidden = !mixes;
  fill($("mix").lastElementChild, mixes ? mixSliders(about) : []);
}

function buildDock() {
  $("dock").hidden = !about.plays_notes;
  $("octave").textContent = noteName(keyboard.base);
  for (const name of ["pedal", "mono"]) $(name).hidden = !(name in head.controls);
  const corpus = corpusPitches(about);
  const [low, high] = corpus?.map((end) => noteName(Math.round(end))) ?? [];
  $("hint").textContent = !about.plays_pitch ? "no pitch: low keys dark, high keys bright"
    : corpus ? `blue: pitches of the training data, ${low} to ${high}` : "";
  $("hint").classList.toggle("important", !about.plays_pitch);
  fill($("wheel"), wheel(head));
  keyboard.open(about.plays_notes, corpus);
}

function buildPresets() {
  const seconds = () => $("morph").valueAsNumber || 0;
  const chips = head.presets.map((name) => {
    const recall = learnable(element("button", { textContent: name }), "preset/recall", name, seconds());
    recall.addEventListener("click", () => send("preset/recall", name, seconds()));
    return element("span", { className: "chip" }, recall, element("button", { textContent: "×",
      title: `forget ${name}`, "aria-label": `forget ${name}`, onclick: () => send("preset/delete", name) }));
  });
  $("presets").replaceChildren(...chips);
}

// showing, once a screen

function show() {
  requestAnimationFrame(show);
  if (!frame || !about) return;
  const now = frame;
  last = now;
  frame = null;
  for (const one of shown) showValue(one, now);
  check($("modes"), now.mode);
  $("driven").hidden = now.mode !== "transform";
  showClasses(now);
  for (const name of ["freeze", "pedal", "mono"]) $(name).setAttribute("aria-pressed", String(Boolean(now.values[name])));
  $("drone").setAttribute("aria-pressed", String(!now.keyed && !now.idle));
  showGlide(now);
  keyboard.show(now.held, now.improvised);
  showNow(now, about);
  if (about.hears) showHeard(now, about);
  drawSpectrum($("spectrum"), now.spectrum);
  drawScope($("scope"), now.scope);
  showMap(now, about);
  showStatus(now, head);
  showLearning(now, shown);
}

function showValue(one, now) {
  const axis = about.axes[one.axis];
  const target = adds(one) ? now.bias : now.targets;
  const value = one.path.startsWith("latent/") ? target[one.axis] : now.values[one.path];
  one.row.classList.toggle("idle", now.mode === "transform" && Boolean(one.natural));
  const heard = axis && now.heard[one.axis];
  one.show(value, one.natural && heard !== undefined ? natural(axis, heard) : heard);
}

/** One class is chosen; of a mix every class shows its share. */
function showClasses(now) {
  const weight = (label) => now.mix.find(([other]) => other === label)?.[1] ?? 0;
  const whole = now.mix.length === 1 && now.mix[0][1] === 1;
  check($("classes"), now.mix.length ? (whole ? about.classes[now.mix[0][0]] : null) : "none");
  const sum = Math.max(1, now.mix.reduce((total, [, part]) => total + part, 0));
  [...$("classes").children].forEach((chip, i) => {
    chip.style.setProperty("--share", `${(100 * weight(i - 1)) / sum}%`);
  });
  const choice = $("heard-class").lastElementChild;
  if (document.activeElement !== choice) choice.value = now.input_class;
  const pitch = $("heard-pitch").lastElementChild;
  if (document.activeElement !== pitch) pitch.value = now.input_pitch < 0 ? "" : now.input_pitch;
  pitch.placeholder = now.input_pitch === -1 ? "none" : "same";
}

function showGlide(now) {
  const [slider, output] = [$("glide").querySelector("input"), $("glide").querySelector("output")];
  $("glide").hidden = !now.values.mono || now.values.glide === undefined;
  if (document.activeElement !== slider) slider.value = now.values.glide ?? 0;
  output.textContent = `${slider.value} ms`;
}

// hands

function setUpDock() {
  $("octave-down").onclick = () => keyboard.shift(-12);
  $("octave-up").onclick = () => keyboard.shift(12);
  for (const name of ["pedal", "mono"]) {
    learnable($(name), name).addEventListener("click", () => send(name, $(name).getAttribute("aria-pressed") === "true" ? 0 : 1));
  }
  clickable($("drone"), "drone");
  $("glide").querySelector("input").oninput = ({ target }) => send("glide", target.valueAsNumber);
}

let quiet = 0;
function complain(text) {
  $("message").textContent = text;
  $("message").hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => { $("message").hidden = true; }, 6000);
}

function setUp() {
  $("panic").onclick = () => send("panic");
  for (const name of ["reset", "freeze"]) clickable($(name), name);
  $("store").onsubmit = (event) => {
    event.preventDefault();
    const name = $("preset-name").value.trim();
    if (name) send("preset/store", name);
    $("preset-name").value = "";
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") send("panic");
    const free = event.target.matches("body, button, canvas") && !event.repeat && !about?.plays_notes;
    if (event.key === "f" && free) send("freeze");
  });
  buildTicks();
  arrange();
  for (const width of [WIDE, MIDDLE]) width.addEventListener("change", arrange);
  setUpMap();
  setUpLearning();
  setUpDock();
  connect({
    onHead: update,
    onFrame: (news) => { frame = news; },
    onError: complain,
    onLost: () => {
      keyboard.releaseAll();
      $("status").textContent = "not connected; trying again";
      $("status").classList.add("bad");
    },
  });
  requestAnimationFrame(show);
}

setUp();
