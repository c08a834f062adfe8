// The AudioWorklet: controls come in, sound and now and then a look at it go out.

import { opened } from "./file.js";
import { Synth } from "./synth.js";

const LOOK_S = 1 / 30;
const RECORDED_SAMPLES = 4096;
const MEASURED_FRAMES = 40;

/** Sound at another rate than the instrument's, in straight lines from sample to sample. */
export class Resampler {
  constructor(synth, rate) {
    Object.assign(this, { synth, step: synth.rate / rate, place: 0, ends: [0, 0], inner: new Float32Array(0) });
  }

  /** `place`: where the next sample is read, between the `ends` of what was read before (-1 and 0) or after them. */
  process(controls, block) {
    if (this.step === 1) {
      this.synth.process(controls, block);
      return;
    }
    const count = Math.floor(this.place + this.step * (block.length - 1)) + 1;
    if (this.inner.length < count + 2) this.inner = new Float32Array(count + 2);
    this.inner.set(this.ends);
    this.synth.process(controls, this.inner.subarray(2, count + 2));
    for (let i = 0; i < block.length; i += 1) {
      const place = this.place + this.step * i + 1;
      const first = Math.floor(place);
      block[i] = this.inner[first] + (place - first) * (this.inner[first + 1] - this.inner[first]);
    }
    this.place += this.step * block.length - count;
    this.ends = this.inner.slice(count, count + 2);
  }
}

const Base = globalThis.AudioWorkletProcessor ?? class {};

class Instrument extends Base {
  /** Options: file, numbers (bytes), voices, controls; `score` [[sample, controls]] of an offline rendering. */
  constructor({ processorOptions: { file, numbers, voices, controls, score = [] } }) {
    super();
    this.synth = new Synth(opened(file, numbers), voices);
    this.sound = new Resampler(this.synth, globalThis.sampleRate);
    Object.assign(this, { controls, score: [...score], peak: 0, recorded: null, busyMs: 0, soundedS: 0, factor: 0, samples: 0 });
    this.nextLook = 0;
    this.port.onmessage = ({ data }) => this.take(data);
    this.port.postMessage({ ready: true, fast: this.synth.fast });
  }

  take({ controls, record }) {
    if (controls) this.controls = controls;
    if (record === true) this.recorded = [];
    if (record === false) this.endRecording();
  }

  process(_, [[block]]) {
    while (this.score.length && this.score[0][0] <= this.samples) [, this.controls] = this.score.shift();
    const start = Date.now();
    this.sound.process(this.controls, block);
    this.measure(Date.now() - start, block.length / globalThis.sampleRate);
    this.samples += block.length;
    for (const sample of block) this.peak = Math.max(this.peak, Math.abs(sample));
    if (this.recorded) this.record(block);
    if (globalThis.currentTime >= this.nextLook) this.look();
    return true;
  }

  /** The clock is coarse, so that many frames count. */
  measure(ms, seconds) {
    if (!this.synth.polyphony.newest) return;
    this.busyMs += ms;
    this.soundedS += seconds;
    if (this.soundedS < MEASURED_FRAMES * (this.synth.hop / this.synth.rate)) return;
    this.factor = (1000 * this.soundedS) / Math.max(this.busyMs, 0.5);
    this.busyMs = this.soundedS = 0;
  }

  look() {
    this.nextLook = globalThis.currentTime + LOOK_S;
    const { synth } = this;
    this.port.postMessage({ look: { heard: synth.heard(), level: 20 * Math.log10(Math.max(this.peak, 1e-6)),
      real_time_factor: this.factor, limited: synth.limiter.limited } });
    this.peak = 0;
  }

  record(block) {
    this.recorded.push(block.slice());
    if (this.recorded.length * block.length >= RECORDED_SAMPLES) this.sendRecorded();
  }

  sendRecorded() {
    this.port.postMessage({ recorded: this.recorded });
    this.recorded = [];
  }

  endRecording() {
    if (!this.recorded) return;
    this.sendRecorded();
    this.recorded = null;
    this.port.postMessage({ recordedAll: true });
  }
}

globalThis.registerProcessor?.("wavevae", Instrument);
