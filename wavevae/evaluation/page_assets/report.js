"use strict";
// One sound at a time; "play, switching" changes between reference and reconstruction every second, in place.
const players = [...document.querySelectorAll("audio")];
const mark = (audio, on) => audio.parentElement.classList.toggle("heard", on);
for (const audio of players) {
  audio.addEventListener("play", () => {
    for (const other of players) if (other !== audio && !other.dataset.pair) other.pause();
    mark(audio, true);
  });
  audio.addEventListener("pause", () => mark(audio, false));
}
for (const button of document.querySelectorAll(".switch")) {
  const pair = [...button.parentElement.querySelectorAll("audio")];
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    for (const audio of pair) { audio.pause(); audio.muted = false; delete audio.dataset.pair; }
    button.textContent = "play, switching";
  };
  const hear = (index) => pair.forEach((audio, i) => { audio.muted = i !== index; mark(audio, i === index); });
  button.addEventListener("click", () => {
    if (timer) { stop(); return; }
    for (const other of players) other.pause();
    for (const audio of pair) { audio.dataset.pair = "1"; audio.currentTime = 0; }
    let now = 0;
    Promise.all(pair.map((audio) => audio.play())).then(() => hear(now), stop);
    timer = setInterval(() => {
      if (pair.every((audio) => audio.ended)) { stop(); return; }
      now = 1 - now;
      hear(now);
    }, 1000);
    button.textContent = "stop";
  });
}
