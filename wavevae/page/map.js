// The map of the learned latents: drag, or arrow keys.

import { send } from "./connection.js";
import { MARGIN, colour, drawMap } from "./drawing.js";
import { clamp } from "./units.js";
import { element } from "./widgets.js";

const $ = (id) => document.getElementById(id);

/** A place that comes back this soon after a touch may be older than the touch. */
const ECHO_MS = 300;
let place = [0.5, 0.5];
let touched = -ECHO_MS;

export function buildMap(about) {
  const [across, up] = about.map_axes;
  $("xy").setAttribute("aria-label", `map of the training sounds, ${across}${up ? ` and ${up}` : ""}: arrow keys or drag`);
  const groups = about.map_names.map((name, i) => {
    const dot = element("i");
    dot.style.background = colour(i);
    return element("span", {}, dot, name);
  });
  const left = { 0: "", 1: " The map leaves loudness alone." }[about.n_controls] ?? " The map leaves pitch and loudness alone.";
  const ring = element("span", { id: "ring", textContent: "Ring: where you are. " });
  $("legend").replaceChildren(element("span", {}, ring, `Dot: what sounds. Points: training sounds.${left}`), ...groups);
}

/** Where latents lie on it, 0 to 1. */
function onMap(about, values) {
  const place = about.bounds.map(([low, high], i) => (values[about.n_controls + i] - low) / (high - low));
  return [place[0] ?? 0.5, place[1] ?? 0.5].map((x) => clamp(x, 0, 1));
}

export function showMap(now, about) {
  const driven = now.mode === "transform";
  if (performance.now() - touched > ECHO_MS) place = onMap(about, now.targets);
  $("ring").hidden = driven;
  if (now.heard.length) drawMap($("xy"), about, driven ? null : onMap(about, now.targets), onMap(about, now.heard));
}

export function setUpMap() {
  const pad = $("xy");
  let held = false;
  const go = (x, y) => {
    place = [clamp(x, 0, 1), clamp(y, 0, 1)];
    touched = performance.now();
    send("xy", ...place);
  };
  const follow = (event) => {
    const box = pad.getBoundingClientRect();
    go((event.clientX - box.left - MARGIN) / (box.width - 2 * MARGIN),
      1 - (event.clientY - box.top - MARGIN) / (box.height - 2 * MARGIN));
  };
  pad.onpointerdown = (event) => { held = true; pad.setPointerCapture(event.pointerId); follow(event); };
  pad.onpointermove = (event) => { if (held) follow(event); };
  pad.onpointerup = pad.onpointercancel = () => { held = false; };
  pad.onkeydown = (event) => {
    const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? 0.1 : 0.02;
    go(place[0] + step * move[0], place[1] + step * move[1]);
  };
}
