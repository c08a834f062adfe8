// Keyboards and MPE controllers by Web MIDI. Each channel above the first of an MPE controller is one note.

const MPE_BEND = 48;
const BEND = 2;
const [SUSTAIN, SLIDE] = [64, 74];

/** Turns messages into addresses: (path, ...values). */
export class MidiIn {
  constructor(send) {
    this.send = send;
    /** By channel: the note that it plays, where it plays one only. */
    this.notes = Array.from({ length: 16 }, () => []);
  }

  take([status, first, second = 0]) {
    const [kind, channel] = [status & 0xf0, status & 0x0f];
    if (kind === 0x90 && second) this.on(channel, first, second / 127);
    else if (kind === 0x80 || kind === 0x90) this.off(channel, first);
    else if (kind === 0xe0) this.bend(channel, ((second << 7) + first - 8192) / 8192);
    else if (kind === 0xd0) this.express(channel, "pressure", first / 127);
    else if (kind === 0xa0) this.send("note/pressure", first, second / 127);
    else if (kind === 0xb0 && first === SLIDE && channel) this.express(channel, "slide", second / 127);
    else if (kind === 0xb0 && first === SUSTAIN) this.send("pedal", second >= 64 ? 1 : 0);
  }

  on(channel, pitch, velocity) {
    this.notes[channel].push(pitch);
    this.send("note", pitch, velocity);
  }

  off(channel, pitch) {
    this.notes[channel] = this.notes[channel].filter((other) => other !== pitch);
    this.send("note", pitch, 0);
  }

  /** On a channel of one note that is not the first: of that note; else of all. */
  bend(channel, share) {
    if (channel && this.notes[channel].length === 1) this.send("note/bend", this.notes[channel][0], MPE_BEND * share);
    else this.send("bend", BEND * share);
  }

  express(channel, name, share) {
    if (channel && this.notes[channel].length === 1) this.send(`note/${name}`, this.notes[channel][0], share);
    else if (name === "pressure") this.send("pressure", share);
  }
}

/** Asks for the ports; `button` says which there are. */
export function setUpMidi(button, send) {
  button.hidden = !navigator.requestMIDIAccess;
  const midi = new MidiIn(send);
  button.addEventListener("click", async () => {
    try {
      const access = await navigator.requestMIDIAccess();
      const listen = () => {
        const ports = [...access.inputs.values()];
        for (const port of ports) port.onmidimessage = ({ data }) => midi.take(data);
        button.textContent = ports.length ? `MIDI: ${ports.map(({ name }) => name).join(", ")}` : "MIDI: nothing plugged in";
        button.setAttribute("aria-pressed", String(ports.length > 0));
      };
      access.onstatechange = listen;
      listen();
    } catch {
      button.textContent = "MIDI: not allowed";
    }
  });
}
