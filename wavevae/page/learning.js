// MIDI: a click on something, then the controller's knob, pad or key that is to move it.

import { send } from "./connection.js";
import { element } from "./widgets.js";

const $ = (id) => document.getElementById(id);

/** While learning, a click on the part binds what is moved next to an address, or to sending it these values. */
export function learnable(part, path, ...values) {
  part.classList.add("learnable");
  part.addEventListener("click", (event) => {
    if (!document.body.classList.contains("learning")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    send("midi/learn", `/wavevae/${path}`, ...values);
  }, true);
  return part;
}

/** A button that sends these values, and can be learnt. */
export function clickable(button, path, ...values) {
  learnable(button, path, ...values);
  button.addEventListener("click", () => send(path, ...values));
  return button;
}

export function learnButton() {
  const button = element("button", { id: "learn", textContent: "learn MIDI", title: "bind a knob, pad or key of a controller" });
  button.onclick = () => learn(true);
  return element("section", {}, element("h3", { textContent: "MIDI" }), button);
}

function learn(on) {
  document.body.classList.toggle("learning", on);
  $("learning").hidden = !on;
  if (!on) send("midi/learn");
}

export function showLearning(now, shown) {
  const path = now.learning.replace("/wavevae/", "");
  $("learning").firstElementChild.textContent = path
    ? `Move the knob, pad or key that is to turn ${path}.`
    : "Click what a controller is to turn.";
  for (const one of shown) one.row.classList.toggle("waiting", now.learning === `/wavevae/${one.path}`);
}

export function setUpLearning() {
  $("learning").lastElementChild.onclick = () => learn(false);
}
