// Drawing and small parts; nothing here knows of the connection.

export const COLOURS = ["#ffb454", "#5cc8ff", "#6fdc8c", "#ff7eb6", "#c29bff", "#f4f269", "#4fd6c4", "#ff8f5c",
  "#9fb4ff", "#d7e36a"];

/** What comes back so soon after a touch may be older than the touch. */
const ECHO_MS = 300;

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const shown = (value, step) => value.toFixed(step >= 1 ? 0 : step >= 0.1 ? 1 : 2);

/** A slider with its label, its number, the span of the training data and where the sound is. */
export class Slider {
  constructor({ label, low, high, step, unit = "", span = null, send, path, springs = false }) {
    this.low = low;
    this.step = step;
    this.high = high;
    this.path = path;
    this.held = false;
    this.touched = -ECHO_MS;
    const id = `s-${path.replaceAll("/", "-")}`;
    this.input = element("input", { type: "range", min: low, max: high, step, id, "aria-label": `${label} ${unit}` });
    this.output = element("output", { textContent: "" });
    this.binding = element("small");
    this.heard = element("div", { className: "heard", hidden: true });
    const slide = element("div", { className: "slide" });
    if (span) {
      const shade = element("div", { className: "span" });
      shade.style.left = this.place(span[0]);
      shade.style.right = `calc(100% - ${this.place(span[1])})`;
      slide.append(shade);
    }
    slide.append(this.heard, this.input);
    const name = element("label", { htmlFor: id, title: label }, label, this.binding);
    this.row = element("div", { className: "row" }, name, slide, this.output);
    this.input.addEventListener("input", () => {
      this.touched = performance.now();
      this.output.textContent = shown(this.input.valueAsNumber, step);
      send(this.input.valueAsNumber);
    });
    this.input.addEventListener("pointerdown", () => { this.held = true; });
    for (const end of ["pointerup", "pointercancel", "blur"]) {
      this.input.addEventListener(end, () => { this.held = false; });
    }
    if (springs) {
      const back = () => {
        this.input.value = 0;
        this.output.textContent = shown(0, step);
        send(0);
      };
      for (const end of ["pointerup", "pointercancel"]) this.input.addEventListener(end, back);
    }
    this.row.addEventListener("dblclick", () => { if (low <= 0 && high >= 0) send(0); });
  }

  /** Where the middle of the knob is at a value; it stays half its width within the ends. */
  place(value) {
    const share = Math.min(1, Math.max(0, (value - this.low) / (this.high - this.low)));
    return `calc(.625rem + ${share} * (100% - 1.25rem))`;
  }

  /** What the instrument says; a hand on the slider knows better. */
  show(value, heard) {
    if (!this.held && performance.now() - this.touched > ECHO_MS && value !== undefined) {
      if (this.input.valueAsNumber !== value) this.input.value = value;
      this.output.textContent = shown(value, this.step);
    }
    if (heard !== undefined) {
      this.heard.hidden = false;
      this.heard.style.left = this.place(heard);
    }
  }
}

/** A canvas as large as it is on the screen, ready to draw in CSS pixels. */
export function sheet(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function drawSpectrum(canvas, bands) {
  const { pen, width, height } = sheet(canvas);
  pen.strokeStyle = "#1b222d";
  for (const db of [-24, -48, -72]) {
    const y = (-db / 96) * height;
    pen.beginPath(); pen.moveTo(0, y); pen.lineTo(width, y); pen.stroke();
  }
  const step = width / bands.length;
  const fill = pen.createLinearGradient(0, 0, 0, height);
  fill.addColorStop(0, "#ffb454");
  fill.addColorStop(1, "#3d5a80");
  pen.fillStyle = fill;
  bands.forEach((db, i) => {
    const tall = Math.max(0, 1 + db / 96) * height;
    pen.fillRect(i * step, height - tall, Math.max(1, step - 1), tall);
  });
}

export function drawScope(canvas, points) {
  const { pen, width, height } = sheet(canvas);
  pen.strokeStyle = "#5cc8ff";
  pen.lineWidth = 1.5;
  pen.beginPath();
  points.forEach((value, i) => {
    const x = (i / (points.length - 1)) * width;
    const y = height / 2 - (value / 100) * (height / 2 - 2);
    if (i) pen.lineTo(x, y); else pen.moveTo(x, y);
  });
  pen.stroke();
}

/** The map: training latents, where the targets are (ring) and where the sound is (dot). */
export function drawMap(canvas, about, target, heard) {
  const { pen, width, height } = sheet(canvas);
  const at = ([x, y]) => [8 + x * (width - 16), height - 8 - y * (height - 16)];
  pen.strokeStyle = "#1b222d";
  for (let i = 1; i < 4; i += 1) {
    pen.beginPath(); pen.moveTo((i * width) / 4, 0); pen.lineTo((i * width) / 4, height);
    pen.moveTo(0, (i * height) / 4); pen.lineTo(width, (i * height) / 4); pen.stroke();
  }
  about.map.forEach((point, i) => {
    const [x, y] = at(point);
    pen.fillStyle = COLOURS[(about.map_labels[i] ?? 1) % COLOURS.length];
    pen.globalAlpha = 0.55;
    pen.beginPath(); pen.arc(x, y, 3, 0, 7); pen.fill();
  });
  pen.globalAlpha = 1;
  const [hx, hy] = at(heard);
  pen.fillStyle = "#5cc8ff";
  pen.beginPath(); pen.arc(hx, hy, 5, 0, 7); pen.fill();
  const [tx, ty] = at(target);
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = 2;
  pen.beginPath(); pen.arc(tx, ty, 9, 0, 7); pen.stroke();
}
