// What this page has beside the control page's: start, record, improvise, MIDI; and it works without a network.

import { element } from "./widgets.js";

const $ = (id) => document.getElementById(id);

export function say(text) {
  $("message").textContent = text;
  $("message").hidden = false;
}

/** {start, record, improvise, midi}: buttons. */
export function buildStart({ improvises }) {
  const record = element("button", { id: "record", textContent: "record", "aria-pressed": "false", title: "record what is played, as a WAV file" });
  const improvise = element("button", { id: "improvise", textContent: "improvise", "aria-pressed": "false", hidden: !improvises,
    title: "plays by itself, in the manner of its recordings" });
  const midi = element("button", { id: "midi", textContent: "MIDI", "aria-pressed": "false", title: "play from a MIDI keyboard" });
  const start = element("button", { id: "start" }, "Touch to play");
  document.querySelector(".actions").prepend(record);
  $("drone").after(improvise, midi);
  document.body.append(element("div", { id: "veil", hidden: true }, start));
  keepOffline();
  return { start, record, improvise, midi };
}

/** The veil is there until the browser lets the page sound. */
export function showStarted(context, { start }) {
  const show = () => {
    const waiting = context.state !== "running";
    $("veil").hidden = !waiting;
    if (waiting) start.focus();
  };
  context.addEventListener("statechange", show);
  setTimeout(show, 100); // where it may sound at once, there is no veil
}

/** Once loaded from a server, the page opens without one. */
function keepOffline() {
  if (!location.protocol.startsWith("http")) return;
  document.head.append(element("link", { rel: "manifest", href: "manifest.webmanifest" }));
  navigator.serviceWorker?.register("offline.js").catch(() => {}); // a server without https: it plays all the same
}
