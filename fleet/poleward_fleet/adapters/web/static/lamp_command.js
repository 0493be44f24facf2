// Sends one lamp command and tells how it goes, from the first tenth of a second to the outcome.

import { number, text } from "./texts.js";

const csrf = document.querySelector('meta[name="csrf"]').content;

export async function setLamp(poleCode, levelPercent, durationS, line) {
  const began = performance.now();
  const show = (state, words) => {
    line.dataset.state = state;
    line.textContent = words;
  };
  const tick = () =>
    show("sending", text("sending", { level: levelPercent, elapsed: number((performance.now() - began) / 1000, 1) }));
  tick();
  const timer = setInterval(tick, 100);
  try {
    const answer = await fetch(`/poles/${encodeURIComponent(poleCode)}/lamp`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: JSON.stringify({ level_percent: levelPercent, duration_s: durationS }),
    });
    const outcome = await answer.json().catch(() => ({}));
    clearInterval(timer);
    if (answer.status === 401) return location.reload();
    if (!answer.ok) return show("failed", [outcome.error, outcome.detail].filter(Boolean).join(": ") || text("failed"));
    const words = text(outcome.status, { level: levelPercent, ms: number(outcome.elapsed_ms) });
    return show(outcome.status, outcome.detail ? `${words} ${outcome.detail}` : words);
  } catch {
    return show("failed", text("failed"));
  } finally {
    clearInterval(timer);
  }
}
