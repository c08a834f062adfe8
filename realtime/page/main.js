// The control page: everything goes through one WebSocket as OSC addresses, everything shown comes back from there.
import { COLOURS, Slider, drawMap, drawScope, drawSpectrum, element } from "./widgets.js";

const $ = (id) => document.getElementById(id);
const BLACK = new Set([1, 3, 6, 8, 10]);
const COMPUTER_KEYS = "awsedftgyhujk";
const LOWEST_KEY = 48;
const KEYS = 25;

let socket = null;
let about = null;
let head = null;
let sliders = [];
let waiting = null;
let frame = null;
let peak = -60;

function send(address, ...values) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ send: [`/wavevae/${address}`, values] }));
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/ws`);
  socket.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    if (news.error) complain(news.error);
    else if (news.about) build(news);
    else frame = news;
  };
  socket.onclose = () => {
    status("not connected; trying again", true);
    setTimeout(connect, 1000);
  };
}

function status(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

let quiet = 0;
function complain(text) {
  $("message").textContent = text;
  $("message").hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => { $("message").hidden = true; }, 6000);
}

// building, whenever the model or its presets change

function build(news) {
  head = news;
  about = news.about;
  document.title = `${about.name} · wavevae`;
  $("model").textContent = about.name;
  sliders = [];
  buildModes();
  buildAxes();
  buildLevels();
  buildPlaying();
  buildPresets();
  $("learn").hidden = !head.midi;
  for (const slider of sliders) slider.binding.textContent = head.bindings[`/wavevae/${slider.path}`] ?? "";
  $("legend").replaceChildren(...about.map_names.map((name, i) => {
    const dot = element("i");
    dot.style.background = COLOURS[i % COLOURS.length];
    return element("span", {}, dot, name);
  }));
}

function slider(options) {
  const made = new Slider({ ...options, send: (value) => send(options.path, value) });
  learnable(made.row, options.path);
  sliders.push(made);
  return made;
}

/** While learning, a click binds what is moved next: to the address, or to sending these values to it. */
function learnable(part, path, ...values) {
  part.classList.add("learnable");
  part.addEventListener("click", (event) => {
    if (!document.body.classList.contains("learning")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    send("midi/learn", `/wavevae/${path}`, ...values);
  }, true);
  return part;
}

function radios(container, names, path) {
  const buttons = names.map((name) => {
    const button = learnable(element("button", { textContent: name, role: "radio", "aria-checked": "false" }), path, name);
    button.addEventListener("click", () => send(path, name));
    return button;
  });
  container.replaceChildren(...buttons);
  container.onkeydown = (event) => {
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const next = buttons[(buttons.indexOf(event.target) + move + buttons.length) % buttons.length];
    next.focus();
    next.click();
  };
}

function check(container, name) {
  for (const button of container.children) button.setAttribute("aria-checked", String(button.textContent === name));
}

const modes = () => $("modes").firstElementChild;

function buildModes() {
  $("modes").hidden = about.modes.length < 2;
  radios(modes(), about.modes, "mode");
}

function buildAxes() {
  const rows = about.axes.map(([name, low, high], i) => {
    const wide = Math.max(3, Math.ceil(Math.max(Math.abs(low), Math.abs(high)) * 1.5));
    return slider({ label: name, low: -wide, high: wide, step: 0.01, span: [low, high], path: `latent/${i}` }).row;
  });
  $("axes").replaceChildren(...rows);
}

function buildLevels() {
  const usual = { gain: [-60, 24, 0.1], smoothing: [0, 2000, 1], temperature: [0, 2, 0.01], spread: [0, 2, 0.01] };
  const names = Object.keys(usual).filter((name) => name !== "spread" || about.modes.includes("sample"));
  const rows = names.map((name) => {
    const [low, high, step] = usual[name];
    const unit = head.ranges[name][2];
    return slider({ label: unit.length < 4 && unit ? `${name} ${unit}` : name, low, high, step, unit, path: name }).row;
  });
  for (const [name, kinds] of about.attributes) {
    if (kinds.length !== 1) continue;
    const [low, high, step] = kinds[0] === 0 ? [0, 1, 1] : kinds[0] === 1 ? [0, 127, 1] : [-5, 5, 0.01];
    rows.push(slider({ label: name, low, high, step, path: `attribute/${name}` }).row);
  }
  $("levels").replaceChildren(...rows);
}

function buildPlaying() {
  $("playing").hidden = !about.classes.length && !about.has_pitch;
  $("classes").hidden = !about.classes.length;
  radios($("classes"), ["none", ...about.classes], "class");
  $("mix").hidden = !about.can_mix || about.classes.length < 2;
  $("mix").lastElementChild.replaceChildren(...($("mix").hidden ? [] : about.classes).map((name, i) => slider({
    label: name, low: 0, high: 1, step: 0.01, path: `mix/${i}`,
  }).row));
  buildHeardAs();
  $("keys").hidden = $("envelope").hidden = !about.has_pitch;
  if (!about.has_pitch) return;
  const keys = Array.from({ length: KEYS }, (_, i) => {
    const pitch = LOWEST_KEY + i;
    const key = element("button", { className: BLACK.has(pitch % 12) ? "black" : "", "aria-label": `note ${pitch}` });
    key.dataset.pitch = pitch;
    const down = (velocity) => send("note", pitch, velocity);
    key.onpointerdown = (event) => {
      key.setPointerCapture(event.pointerId);
      down(0.2 + 0.8 * Math.min(1, event.offsetY / key.clientHeight));
    };
    key.onpointerup = key.onpointercancel = () => down(0);
    key.onkeydown = (event) => { if ([" ", "Enter"].includes(event.key) && !event.repeat) down(0.8); };
    key.onkeyup = (event) => { if ([" ", "Enter"].includes(event.key)) down(0); };
    return key;
  });
  $("keys").replaceChildren(...keys);
  const bend = slider({ label: "bend", low: -2, high: 2, step: 0.01, path: "bend", unit: "semitones", springs: true });
  $("envelope").replaceChildren(bend.row, ...["attack", "release"].map((name) => slider({
    label: `${name} ms`, low: 0, high: 2000, step: 1, path: name,
  }).row), element("button", { textContent: "drone", title: "sound without keys", onclick: () => send("drone") }));
}

/** What the encoder is told of a live input: -2 is "the same as what sounds", -1 "none". */
function buildHeardAs() {
  const choice = $("heard-class").lastElementChild;
  const pitch = $("heard-pitch").lastElementChild;
  $("heard-class").hidden = !about.has_input_class;
  $("heard-pitch").hidden = !about.has_input_pitch;
  $("heard-as").hidden = !about.has_input_class && !about.has_input_pitch;
  choice.replaceChildren(...["same class", "unknown class", ...about.classes].map((name, i) => element("option",
    { textContent: name, value: i - 2 })));
  choice.onchange = () => send("input_class", Number(choice.value));
  pitch.onchange = () => send("input_pitch", Number.isNaN(pitch.valueAsNumber) ? -2 : pitch.valueAsNumber);
}

function buildPresets() {
  const glide = () => $("glide").valueAsNumber || 0;
  const chips = head.presets.map((name) => {
    const recall = learnable(element("button", { textContent: name }), "preset/recall", name, glide());
    recall.addEventListener("click", () => send("preset/recall", name, glide()));
    return element("span", { className: "chip" }, recall, element("button", { textContent: "×",
      title: `forget ${name}`, "aria-label": `forget ${name}`, onclick: () => send("preset/delete", name) }));
  });
  $("presets").replaceChildren(...chips);
}

// showing, once a screen

function onMap(values) {
  const place = about.bounds.map(([low, high], i) => (values[i] - low) / (high - low));
  return [place[0] ?? 0.5, place[1] ?? 0.5].map((x) => Math.min(1, Math.max(0, x)));
}

function show() {
  requestAnimationFrame(show);
  if (!frame || !about) return;
  const now = frame;
  frame = null;
  for (const one of sliders) {
    const [kind, index] = one.path.split("/");
    if (kind === "latent") one.show(now.targets[index], now.heard[index]);
    else if (kind === "attribute") one.show(attribute(now, index));
    else if (kind === "mix") one.show(weight(now, Number(index)));
    else one.show(now[kind]);
    one.row.classList.toggle("waiting", now.learning === `/wavevae/${one.path}`);
  }
  waiting = now.learning;
  check(modes(), now.mode);
  showClasses(now);
  $("freeze").setAttribute("aria-pressed", String(now.frozen));
  for (const key of $("keys").children) key.classList.toggle("down", now.held.includes(Number(key.dataset.pitch)));
  showMeter(now);
  drawSpectrum($("spectrum"), now.spectrum);
  drawScope($("scope"), now.scope);
  if (now.heard.length) drawMap($("xy"), about, onMap(now.targets), onMap(now.heard));
  showStatus(now);
}

const weight = (now, label) => now.mix.find(([other]) => other === label)?.[1] ?? 0;

/** One class is chosen; of a mix every class shows its share. */
function showClasses(now) {
  const whole = now.mix.length === 1 && now.mix[0][1] === 1;
  check($("classes"), now.mix.length ? (whole ? about.classes[now.mix[0][0]] : null) : "none");
  const sum = Math.max(1, now.mix.reduce((total, [, part]) => total + part, 0));
  [...$("classes").children].forEach((chip, i) => {
    chip.style.setProperty("--share", `${(100 * weight(now, i - 1)) / sum}%`);
  });
  const choice = $("heard-class").lastElementChild;
  if (document.activeElement !== choice) choice.value = now.input_class;
  const pitch = $("heard-pitch").lastElementChild;
  if (document.activeElement !== pitch) pitch.value = now.input_pitch < 0 ? "" : now.input_pitch;
  pitch.placeholder = now.input_pitch === -1 ? "none" : "same";
}

function attribute(now, name) {
  let place = 0;
  for (const [other, kinds] of about.attributes) {
    if (other === name) return now.attributes[place];
    place += kinds.length;
  }
  return undefined;
}

function showMeter(now) {
  const share = (db) => 100 * Math.min(1, Math.max(0, 1 + db / 60));
  peak = Math.max(now.level, peak - 0.5);
  const [bar, mark] = $("meter").children;
  bar.style.clipPath = `inset(0 ${100 - share(now.level)}% 0 0)`;
  mark.style.left = `calc(${share(peak)}% - 1px)`;
  $("meter").setAttribute("aria-valuenow", Math.max(-60, now.level).toFixed(0));
}

function showStatus(now) {
  const parts = [`${now.real_time_factor.toFixed(1)}× real time`, `${now.underflows} underflows`];
  if (now.limited) parts.push("limited");
  if (now.muted) parts.push("silent since panic: reset or gain brings it back");
  if (head.midi) parts.push(now.port ? `MIDI ${now.port}` : "MIDI port not there");
  if (waiting) parts.push(`move what is to turn ${waiting.replace("/wavevae/", "")}`);
  status(parts.join(" · "), now.underflows > 0 || now.muted);
}

// hands

function setUpMap() {
  const pad = $("xy");
  let held = false;
  const go = (event) => {
    const box = pad.getBoundingClientRect();
    const clip = (x) => Math.min(1, Math.max(0, x));
    send("xy", clip((event.clientX - box.left - 8) / (box.width - 16)),
      clip(1 - (event.clientY - box.top - 8) / (box.height - 16)));
  };
  pad.onpointerdown = (event) => { held = true; pad.setPointerCapture(event.pointerId); go(event); };
  pad.onpointermove = (event) => { if (held) go(event); };
  pad.onpointerup = pad.onpointercancel = () => { held = false; };
  let place = [0.5, 0.5];
  pad.onkeydown = (event) => {
    const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.1 : 0.02;
    place = place.map((x, i) => Math.min(1, Math.max(0, x + step * move[i])));
    send("xy", ...place);
  };
}

function setUpKeys() {
  const pitchOf = (event) => {
    const typing = event.target.matches("input:not([type=range])");
    const place = typing || event.ctrlKey || event.metaKey || event.altKey ? -1 : COMPUTER_KEYS.indexOf(event.key);
    return place < 0 || !about?.has_pitch ? null : LOWEST_KEY + 12 + place;
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") send("panic");
    const pitch = pitchOf(event);
    if (pitch !== null && !event.repeat) send("note", pitch, 0.8);
    else if (event.key === "f" && event.target.matches("body, button, canvas") && !event.repeat) send("freeze");
  });
  document.addEventListener("keyup", (event) => {
    const pitch = pitchOf(event);
    if (pitch !== null) send("note", pitch, 0);
  });
}

function setUp() {
  $("panic").onclick = () => send("panic");
  for (const name of ["reset", "freeze"]) {
    learnable($(name), name).addEventListener("click", () => send(name));
  }
  $("learn").onclick = () => {
    const on = document.body.classList.toggle("learning");
    $("learn").setAttribute("aria-pressed", String(on));
    if (!on) send("midi/learn");
  };
  $("store").onsubmit = (event) => {
    event.preventDefault();
    const name = $("preset-name").value.trim();
    if (name) send("preset/store", name);
    $("preset-name").value = "";
  };
  setUpMap();
  setUpKeys();
  connect();
  requestAnimationFrame(show);
}

setUp();
