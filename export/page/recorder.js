// What is played, as a WAV file to keep: 16 bits, one channel.

/** Blocks of samples -> a Blob. */
export function wav(blocks, rate) {
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const write = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  [1, 1].forEach((word, i) => view.setUint16(20 + 2 * i, word, true));
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  [2, 16].forEach((word, i) => view.setUint16(32 + 2 * i, word, true));
  write(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(32767 * Math.min(Math.max(sample, -1), 1)), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

/** A button that begins, and ends with a download. */
export class Recorder {
  constructor(button, name, rate, ask) {
    Object.assign(this, { button, name, rate, ask, blocks: null });
    button.addEventListener("click", () => (this.blocks ? this.ask({ record: false }) : this.begin()));
  }

  begin() {
    this.blocks = [];
    this.button.setAttribute("aria-pressed", "true");
    this.ask({ record: true });
  }

  take(blocks) {
    this.blocks?.push(...blocks);
  }

  end() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(wav(this.blocks, this.rate));
    link.download = `${this.name}.wav`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.blocks = null;
    this.button.setAttribute("aria-pressed", "false");
  }
}
