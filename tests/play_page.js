// Plays an exported page's synthesiser in Node: node play_page.js FOLDER JOB.json OUT, float32 samples.
//
// JOB: {latents [voice][frame][axis], life, classes, restart [frame, voice]}, decoded; or {score [[blocks, controls]], block, rate}.
// "kernel": false plays without WebAssembly. {desk, messages [path, values ...]}: the state after each, as JSON, where `desk`
// is the script of the page's desk; {desk, midi [[bytes]]}: what those messages send.

const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [folder, job, out] = process.argv.slice(2);
const read = (name) => fs.readFileSync(path.join(folder, name), "utf8");
vm.runInThisContext(`${read("instrument.js")};globalThis.INSTRUMENT = INSTRUMENT;`);
const { file, synth, worklet } = require(path.resolve(folder, "dsp.js"))();
const { latents, life, classes, restart, score, block, kernel = true, rate, desk, messages, midi } = JSON.parse(fs.readFileSync(job, "utf8"));
/** (voices, samples) in a row. */
function decoded(player) {
  const { decoder, hop } = player;
  const frames = latents[0].length;
  const all = latents.map((_, voice) => voice);
  const sound = new Float32Array(latents.length * frames * hop);
  decoder.setClasses(classes ?? []);
  for (let frame = 0; frame < frames; frame += 1) {
    if (restart && restart[0] === frame) decoder.restart(restart[1]);
    decoder.play(latents.map((voice) => voice[frame]), all, life);
    for (const voice of all) sound.set(decoder.sounds[voice], (voice * frames + frame) * hop);
  }
  return sound;
}

function played(synthesiser) {
  const player = rate ? new worklet.Resampler(synthesiser, rate) : synthesiser;
  const count = score.reduce((sum, [blocks]) => sum + blocks, 0);
  const sound = new Float32Array(count * block);
  let at = 0;
  for (const [blocks, controls] of score) {
    for (let n = 0; n < blocks; n += 1, at += block) player.process(controls, sound.subarray(at, at + block));
  }
  return sound;
}

function sounded() {
  const opened = file.opened(INSTRUMENT.file, file.bytesOf(INSTRUMENT.numbers));
  const player = new synth.Synth(opened, latents ? latents.length : INSTRUMENT.voices, kernel);
  return Buffer.from((latents ? decoded(player) : played(player)).buffer);
}

function told() {
  const parts = vm.runInThisContext(`(() => { ${desk} return modules; })()`);
  const sent = [];
  const input = new parts.midi.MidiIn((...message) => sent.push(message));
  for (const bytes of midi ?? []) input.take(bytes);
  const table = new parts.desk.Desk(INSTRUMENT, INSTRUMENT.presets);
  return JSON.stringify(midi ? sent : messages.map((message) => {
    table.act(...message);
    return structuredClone(table.state);
  }));
}

fs.writeFileSync(out, desk ? told() : sounded());
