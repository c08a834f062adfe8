// Numbers as people read them.

const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

/** Of a whole MIDI number: 60 is C4. */
export const noteName = (midi) => `${NAMES[midi % 12]}${Math.floor(midi / 12) - 1}`;

/** A MIDI number with a fraction as the nearest note and the cents from it. */
export function nearestNote(midi) {
  const note = Math.min(127, Math.max(0, Math.round(midi)));
  return { name: noteName(note), cents: Math.round(100 * (midi - note)) };
}

export const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number)}`;

export function noteAndCents(midi) {
  const { name, cents } = nearestNote(midi);
  return cents ? `${name} ${signed(cents)} ¢` : name;
}

/** A number with as many digits as its step has, and a real minus sign. */
export function readable(value, step) {
  const text = value.toFixed(step >= 1 ? 0 : step >= 0.1 ? 1 : 2);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** "±12 semitones", "−60 to 0 dB". */
export function rangeText(low, high, unit) {
  const range = low === -high ? `±${readable(high, 1)}` : `${readable(low, 1)} to ${readable(high, 1)}`;
  return unit ? `${range} ${unit}` : range;
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
