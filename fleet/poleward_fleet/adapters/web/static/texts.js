// Texts, ages and numbers as this page's language writes them.

const table = JSON.parse(document.getElementById("texts").textContent);
export const language = document.documentElement.lang;

const serverNow = Number(document.querySelector('meta[name="server-now"]').content);
// The server's clock counts: an operator's laptop may be minutes off.
let clockOffsetMs = serverNow - Date.now();

export function nowMs() {
  return Date.now() + clockOffsetMs;
}

export function setServerNow(atMs) {
  clockOffsetMs = atMs - Date.now();
}

export function text(key, values = {}) {
  return table[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function duration(seconds) {
  if (seconds < 60) return text("seconds", { n: Math.max(0, Math.floor(seconds)) });
  if (seconds < 5400) return text("minutes", { n: Math.round(seconds / 60) });
  if (seconds < 48 * 3600) return text("hours", { n: Math.round(seconds / 3600) });
  return text("days", { n: Math.round(seconds / 86400) });
}

export function ago(atMs) {
  if (!atMs) return text("never");
  const seconds = (nowMs() - atMs) / 1000;
  return seconds < 1.5 ? text("now") : text("ago", { age: duration(seconds) });
}

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayAndClock = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hour12: false });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long", hour12: false });

const axisClock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hour12: false });
const axisDay = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });

// A tick of a chart: the time of day, at midnight and for steps of a day the date.
export function axisTime(atMs, stepS) {
  const at = new Date(atMs);
  if (stepS < 60) return clock.format(at);
  const midnight = at.getHours() === 0 && at.getMinutes() === 0;
  return stepS >= 86400 || midnight ? axisDay.format(at) : axisClock.format(at);
}

export const clockTime = (atMs) => clock.format(atMs);
export const dayTime = (atMs) => dayAndClock.format(atMs);
export const exactTime = (atMs) => exact.format(atMs);

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

// Never rounds up to 100 %: one dark lamp in ten thousand is one dark lamp.
export function percent(rate) {
  if (rate === null) return "–";
  const shown = rate === 1 ? 100 : Math.floor(rate * 1000) / 10;
  return `${number(shown, shown === 100 ? 0 : 1)}%`;
}
