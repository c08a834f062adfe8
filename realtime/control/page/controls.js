// Which sliders a model has: their names, ranges, units and what is shaded. Plain descriptions, no elements.

import { clamp, noteAndCents, readable } from "./units.js";

const FIRST_AXES = 8;
/** How far a control may go beyond the training data, and what its ends are rounded to. */
const ROOM = { pitch: [12, 12, 1], loudness: [40, 100, 10] };
const NAMED = ["pitch", "loudness", "periodicity", "brightness", "noisiness", "life", "gain"];
const HANDLED_ELSEWHERE = ["freeze", "mono", "pedal", "glide", "input_pitch", "input_class", "pressure"];
export const FITTING = ["transpose_auto", "transpose", "fit"];
const GROUPS = ["movement", "envelope", "notes"];
const LABELS = { transpose_auto: "auto octave" };
const HOMES = { gain: 0, life: 1, bend: 0, transpose: 0, temperature: 0, spread: 1, fit: 1, smoothing: 30 };

/** The value of an axis in its natural unit, from standard deviations. */
export const natural = (axis, deviations) => axis.mean + axis.std * deviations;

/** A control latent goes by its name and natural unit, a learned one by its number and standard deviations. */
function axisSlider(head, i) {
  const axis = head.about.axes[i];
  if (i < head.about.n_controls) return naturalSlider(axis, i, head.controls[axis.name].doc);
  const wide = Math.max(3, Math.ceil(1.5 * Math.max(Math.abs(axis.low), Math.abs(axis.high))));
  const edge = Math.min(10, wide);
  return { path: `latent/${i}`, axis: i, label: axis.name, low: -edge, high: edge, step: 0.01, unit: "sd", home: 0,
    span: [axis.low, axis.high], doc: `${axis.name}, in standard deviations; shaded: the training data` };
}

function naturalSlider(axis, i, doc) {
  const span = [axis.low, axis.high].map((end) => natural(axis, end));
  const [below, above, whole] = ROOM[axis.name] ?? [Infinity, Infinity, 1];
  const low = clamp(whole * Math.round((span[0] - below) / whole), ...axis.limits);
  const high = clamp(whole * Math.round((span[1] + above) / whole), ...axis.limits);
  const step = axis.name === "loudness" ? 0.1 : 0.01;
  const format = axis.name === "pitch" ? (value) => `${readable(value, 0.01)}\n${noteAndCents(value)}` : null;
  const home = axis.name === "periodicity" ? span[1] : axis.mean;
  return { path: axis.name, axis: i, natural: true, label: axis.name, low, high, step, unit: axis.unit, span, format, home,
    doc: `${doc}; shaded: the training data` };
}

/** Any other address of one number. */
function plain(head, path) {
  const { low, high, unit, doc, whole, fader } = head.controls[path];
  const [least, most] = fader ?? [low ?? (whole ? 0 : -5), high ?? (whole ? 127 : 5)];
  const range = most - least;
  const step = whole || range > 200 ? 1 : range > 40 ? 0.1 : 0.01;
  const label = LABELS[path] ?? path.split("/").pop().replaceAll("_", " ");
  return { path, label, low: least, high: most, step, unit: unit === "standard deviations" ? "sd" : unit, doc,
    switches: whole && least === 0 && most === 1, home: HOMES[path] ?? null, springs: path === "bend" };
}

/** The bend, beside the keys. */
export const wheel = (head) => ("bend" in head.controls ? [plain(head, "bend")] : []);

/** {named, axes, rest, fitting, groups}: descriptions in the order in which they are shown. */
export function describe(head) {
  const { axes, n_controls, modes } = head.about;
  const names = axes.map((axis) => axis.name);
  const isNamed = (i) => i < n_controls || (n_controls > 0 && NAMED.includes(names[i]));
  const numbers = names.map((_, i) => i);
  const named = NAMED.flatMap((name) => {
    const i = numbers.find((k) => names[k] === name && isNamed(k));
    if (i !== undefined) return [axisSlider(head, i)];
    return name in head.controls ? [plain(head, name)] : [];
  });
  const learned = numbers.filter((i) => !isNamed(i)).map((i) => axisSlider(head, i));
  const present = (paths) => paths.filter((path) => path in head.controls).map((path) => plain(head, path));
  const isIn = (title) => (path) => head.controls[path].group === title && (path !== "spread" || modes.includes("sample"));
  const groups = GROUPS.map((title) => [title, present(Object.keys(head.controls).filter(isIn(title)))]);
  const grouped = Object.keys(head.controls).filter((path) => head.controls[path].group);
  const placed = [...NAMED, ...FITTING, ...grouped, ...HANDLED_ELSEWHERE, ...names];
  const others = Object.keys(head.controls).filter((path) => !placed.includes(path) && !path.startsWith("mix/"));
  groups.push(["the file's own", present(others)]);
  return { named, axes: learned.slice(0, FIRST_AXES), rest: learned.slice(FIRST_AXES), fitting: present(FITTING),
    groups: groups.filter(([, sliders]) => sliders.length) };
}

/** The weights of the classes. */
export const mixSliders = ({ classes }) => classes.map((name, i) => ({ path: `mix/${i}`, label: name, low: 0, high: 1,
  step: 0.01 }));

/** The pitches of the training data, MIDI; null for a model without. */
export function corpusPitches({ axes, n_controls }) {
  const i = axes.slice(0, n_controls).findIndex((axis) => axis.name === "pitch");
  return i < 0 ? null : [axes[i].low, axes[i].high].map((end) => natural(axes[i], end));
}
