// Sliders, switches and choices. Nothing here knows what they control.

import { clamp, rangeText, readable } from "./units.js";

/** A value that comes back this soon after a touch may be older than the touch. */
const ECHO_MS = 300;
let made = 0;

export function element(tag, properties = {}, ...children) {
  const part = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") part.setAttribute(name, value);
  }
  part.append(...children);
  return part;
}

/** A slider with its label, range and number, the span of the training data and where the sound is. */
export class Slider {
  /**
   * `span` is shaded; `home` is where a double click goes; `format` turns a value into its text;
   * with `springs` the slider goes back to 0 when it is let go.
   */
  constructor({ path, label, low, high, step, unit = "", doc = "", span = null, home = null, format = null,
    springs = false, send }) {
    Object.assign(this, { path, low, high, step, springs, send });
    this.format = format ?? ((value) => readable(value, step));
    this.held = false;
    this.touched = -ECHO_MS;
    made += 1;
    const id = `slider-${made}`;
    this.input = element("input", { type: "range", min: low, max: high, step, id, "aria-label": `${label} ${unit}`.trim() });
    this.output = element("output", { htmlFor: id });
    this.binding = element("b");
    this.heard = element("div", { className: "heard", hidden: true });
    const name = element("label", { htmlFor: id, title: doc || label }, element("span", { textContent: label }),
      element("small", {}, rangeText(low, high, unit), this.binding));
    const slide = element("div", { className: "slide" }, ...(span ? [this.shade(span)] : []), this.heard, this.input);
    this.row = element("div", { className: "row" }, name, slide, this.output);
    if (home !== null) name.addEventListener("dblclick", () => this.set(home));
    this.listen();
  }

  shade([low, high]) {
    const shade = element("div", { className: "span" });
    shade.style.left = this.place(low);
    shade.style.right = `calc(100% - ${this.place(high)})`;
    return shade;
  }

  listen() {
    const { input } = this;
    input.addEventListener("input", () => this.set(input.valueAsNumber));
    input.addEventListener("pointerdown", () => { this.held = true; });
    for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, () => { this.held = false; });
    if (!this.springs) return;
    for (const end of ["pointerup", "pointercancel"]) input.addEventListener(end, () => this.set(0));
  }

  /** By hand. */
  set(value) {
    this.touched = performance.now();
    this.input.value = value;
    this.write(value);
    this.send(value);
  }

  write(value) {
    const text = this.format(value);
    this.output.textContent = text;
    this.input.setAttribute("aria-valuetext", text);
  }

  /** Where the middle of the knob is at a value; it stays half its width within the ends. */
  place(value) {
    const share = clamp((value - this.low) / (this.high - this.low), 0, 1);
    return `calc(.625rem + ${share} * (100% - 1.25rem))`;
  }

  /** What the instrument says; a hand on the slider knows better. */
  show(value, heard) {
    if (!this.held && performance.now() - this.touched > ECHO_MS && value !== undefined && value !== this.shown) {
      this.shown = value;
      this.input.value = value;
      this.write(value);
    } else if (this.held) this.shown = undefined;
    this.heard.hidden = heard === undefined;
    if (heard !== undefined) this.heard.style.left = this.place(heard);
  }
}

/** On or off, with a label before it. */
export class Switch {
  constructor({ path, label, doc = "", send }) {
    this.path = path;
    this.binding = element("b");
    this.button = element("button", { className: "switch", role: "switch", "aria-checked": "false", "aria-label": label });
    this.button.addEventListener("click", () => send(this.button.getAttribute("aria-checked") === "true" ? 0 : 1));
    const name = element("label", { title: doc || label }, element("span", { textContent: label }),
      element("small", {}, this.binding));
    this.row = element("div", { className: "row" }, name, element("div", {}, this.button));
  }

  show(value) {
    this.button.setAttribute("aria-checked", String(Boolean(value)));
    this.button.textContent = value ? "on" : "off";
  }
}

/** Buttons of which one is chosen; arrow keys go from one to the next. */
export function radios(container, names, make) {
  const buttons = names.map((name) => make(element("button", { textContent: name, role: "radio", "aria-checked": "false" }), name));
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

export function check(container, name) {
  for (const button of container.children) button.setAttribute("aria-checked", String(button.textContent === name));
}
