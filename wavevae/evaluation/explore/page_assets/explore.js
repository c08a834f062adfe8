"use strict";
// A picture of a sound plays it; once more stops it. report.js keeps it to one sound at a time.
for (const cell of document.querySelectorAll("button.cell")) {
  const audio = cell.querySelector("audio");
  cell.addEventListener("click", () => {
    if (!audio.paused) { audio.pause(); return; }
    audio.currentTime = 0;
    audio.play();
  });
}
