// Which sliders a model has: their names, ranges, units and what is shaded. Plain descriptions, no elements.

import { clamp, noteAndCents, readable } from "./units.js";

const FIRST_AXES = 8;
/** By unit: how far a control may go beyond the training data, and what its ends are rounded to. */
const ROOM = { MIDI: [12, 12, 1], dB: [40, 100, 10] };
/** Groups of the declaration that have cards of their own; the others are sections of the last card. */
const MAIN = "controls";
const INPUT = "live input";

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
  const [below, above, whole] = ROOM[axis.unit] ?? [Infinity, Infinity, 1];
  const low = clamp(whole * Math.round((span[0] - below) / whole), ...axis.limits);
  const high = clamp(whole * Math.round((span[1] + above) / whole), ...axis.limits);
  const step = axis.unit === "dB" ? 0.1 : 0.01;
  const format = axis.unit === "MIDI" ? (value) => `${readable(value, 0.01)}\n${noteAndCents(value)}` : null;
  const home = axis.unit ? axis.mean : span[1];
  return { path: axis.name, axis: i, natural: true, label: axis.name, low, high, step, unit: axis.unit, span, format, home,
    doc: `${doc}; shaded: the training data` };
}

/** Any other address of one number. */
function plain(head, path) {
  const { low, high, unit, doc, whole, fader, group, home } = head.controls[path];
  const [least, most] = fader ?? [low ?? (whole ? 0 : -5), high ?? (whole ? 127 : 5)];
  const range = most - least;
  const step = whole || range > 200 ? 1 : range > 40 ? 0.1 : 0.01;
  const label = path.split("/").pop().replaceAll("_", " ");
  return { path, label, low: least, high: most, step, unit: unit === "standard deviations" ? "sd" : unit, doc,
    switches: whole && least === 0 && most === 1, home, springs: group === "notes" };
}

/** The bend, beside the keys. */
export const wheel = (head) => ("bend" in head.controls ? [plain(head, "bend")] : []);

/** {named, axes, rest, fitting, groups}: descriptions in the order in which they are shown. */
export function describe(head) {
  const { axes, n_controls, modes } = head.about;
  const present = (isIn) => Object.keys(head.controls).filter((path) => isIn(path, head.controls[path].group)
    && (path !== "spread" || modes.includes("sample"))).map((path) => plain(head, path));
  const sliders = axes.map((_, i) => axisSlider(head, i));
  const isNamed = (i) => n_controls > 0 && (i < n_controls || !/\d$/.test(axes[i].name));
  const learned = sliders.filter((_, i) => !isNamed(i));
  const titles = new Set(Object.values(head.controls).map(({ group }) => group));
  const groups = [...titles].filter((title) => title && title !== MAIN && title !== INPUT)
    .map((title) => [title, present((_, group) => group === title)]);
  groups.push(["the file's own", present((path) => path.startsWith("attribute/"))]);
  return { named: [...sliders.filter((_, i) => isNamed(i)), ...present((_, group) => group === MAIN)],
    axes: learned.slice(0, FIRST_AXES), rest: learned.slice(FIRST_AXES), fitting: present((_, group) => group === INPUT),
    groups: groups.filter(([, shown]) => shown.length) };
}

/** The weights of the classes. */
export const mixSliders = ({ classes }) => classes.map((name, i) => ({ path: `mix/${i}`, label: name, low: 0, high: 1,
  step: 0.01 }));

/** The pitches of the training data, MIDI; null for a model without. */
export function corpusPitches({ axes, n_controls }) {
  const i = axes.slice(0, n_controls).findIndex((axis) => axis.unit === "MIDI");
  return i < 0 ? null : [axes[i].low, axes[i].high].map((end) => natural(axes[i], end));
}
