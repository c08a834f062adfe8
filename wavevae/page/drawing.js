// Canvases: spectrum, waveform, map.

const COLOURS = ["#ffb454", "#5cc8ff", "#6fdc8c", "#ff7eb6", "#c29bff", "#f4f269", "#4fd6c4", "#ff8f5c", "#9fb4ff",
  "#d7e36a"];
const GRID = "#1b212b";
const GROUND = "#0e1116";
const DIM = "#8b97a8";
const LETTERS = "12px system-ui, sans-serif";

export const colour = (label) => COLOURS[label % COLOURS.length];

/** A canvas as large as it is on the screen, ready to draw in CSS pixels. */
function sheet(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = LETTERS;
  pen.lineWidth = 1;
  return { pen, width, height };
}

function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

const FLOOR_DB = -96;
const SCALE_DB = [-24, -48, -72];

/** Bands in dB, low frequencies left. */
export function drawSpectrum(canvas, bands) {
  const { pen, width, height } = sheet(canvas);
  pen.strokeStyle = GRID;
  for (const db of SCALE_DB) line(pen, 0, (db / FLOOR_DB) * height, width, (db / FLOOR_DB) * height);
  const step = width / bands.length;
  const fill = pen.createLinearGradient(0, 0, 0, height);
  fill.addColorStop(0, "#ffb454");
  fill.addColorStop(1, "#3d5a80");
  pen.fillStyle = fill;
  bands.forEach((db, i) => {
    const tall = Math.max(0, 1 - db / FLOOR_DB) * height;
    pen.fillRect(i * step, height - tall, Math.max(1, step - 1), tall);
  });
  pen.fillStyle = DIM;
  pen.strokeStyle = GROUND;
  pen.lineWidth = 3;
  for (const db of SCALE_DB) {
    const text = `−${-db}`;
    pen.strokeText(text, 4, (db / FLOOR_DB) * height - 3);
    pen.fillText(text, 4, (db / FLOOR_DB) * height - 3);
  }
}

/** A waveform; `points` from -100 to 100. */
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

/** Pixels between the map's edge and its ends. */
export const MARGIN = 18;

/** Training latents, where the controls are (ring, or null) and where the sound is (dot); places from 0 to 1. */
export function drawMap(canvas, about, target, heard) {
  const { pen, width, height } = sheet(canvas);
  const at = ([x, y]) => [MARGIN + x * (width - 2 * MARGIN), height - MARGIN - y * (height - 2 * MARGIN)];
  pen.strokeStyle = GRID;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const [x, y] = at([share, share]);
    line(pen, x, MARGIN, x, height - MARGIN);
    line(pen, MARGIN, y, width - MARGIN, y);
  }
  about.map.forEach((point, i) => {
    pen.fillStyle = colour(about.map_labels[i] ?? 1);
    pen.globalAlpha = 0.5;
    disc(pen, at(point), 3).fill();
  });
  pen.globalAlpha = 1;
  pen.fillStyle = "#5cc8ff";
  disc(pen, at(heard), 6).fill();
  if (target) {
    pen.strokeStyle = "#ffffff";
    pen.lineWidth = 2;
    disc(pen, at(target), 10).stroke();
  }
  nameAxes(pen, about.map_axes, width, height);
}

function disc(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  return pen;
}

function nameAxes(pen, [across, up], width, height) {
  pen.fillStyle = DIM;
  pen.textAlign = "right";
  if (across) pen.fillText(`${across} →`, width - MARGIN, height - 5);
  if (!up) return;
  pen.save();
  pen.translate(13, MARGIN);
  pen.rotate(-Math.PI / 2);
  pen.fillText(`${up} →`, 0, 0);
  pen.restore();
}
