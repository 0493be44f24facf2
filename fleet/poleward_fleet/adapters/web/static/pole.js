// The page of one pole: live values, lamp control, history chart.

import { openStream } from "./freshness.js";
import { setLamp } from "./lamp_command.js";
import { showTimes } from "./page.js";
import { ago, axisTime, number, nowMs, setServerNow, text } from "./texts.js";

const byId = (id) => document.getElementById(id);
const page = byId("pole");
const poleUrl = encodeURIComponent(page.dataset.code);
let live = JSON.parse(byId("pole-live").textContent);
let chosenMetric = null;
let rangeS = Number(document.querySelector("#ranges [aria-pressed='true']").dataset.seconds);
// Until somebody chooses a range the chart begins where the history does, so that a fresh pole does
// not show its first minutes as a sliver at the edge.
let rangeIsChosen = false;
const shortestS = 120;

// Values -----------------------------------------------------------------------------------------

function tile(value) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tile";
  button.dataset.key = value.key;
  for (const name of ["label", "figure", "when"]) {
    const part = document.createElement("span");
    part.className = name;
    button.append(part);
  }
  return button;
}

function show() {
  const state = byId("state");
  state.className = `state state-${live.status}`;
  state.querySelector("use").setAttribute("href", `/static/icons.svg#state-${live.status}`);
  state.querySelector(".word").textContent = live.status_word;
  byId("heard").dataset.at = live.heard_ms;
  byId("heard").textContent = ago(live.heard_ms);
  byId("level").textContent = live.level === null ? "–" : number(live.level);
  byId("level").nextElementSibling.hidden = live.level === null;
  byId("level").closest(".level").style.setProperty("--share", (live.level ?? 0) / 100);
  byId("power").textContent = live.power_w === null ? "" : `${number(live.power_w, 1)} W`;
  for (const [id, value] of [["version", live.version || "–"], ["link", live.link], ["boot", live.boot]]) {
    if (byId(id)) byId(id).textContent = value;
  }
  const tiles = byId("tiles");
  byId("no-values").hidden = live.latest.length > 0;
  for (const value of live.latest) {
    const place = tiles.querySelector(`[data-key="${value.key}"]`) ?? tiles.appendChild(tile(value));
    place.querySelector(".label").textContent = value.label;
    const figure = place.querySelector(".figure");
    const words = value.value === null ? "–" : number(value.value, value.digits);
    figure.title = value.value === null ? text("no_value") : "";
    if (figure.dataset.shown !== words) {
      figure.dataset.shown = words;
      const unit = document.createElement("small");
      unit.textContent = value.value === null ? "" : value.unit;
      figure.replaceChildren(words, " ", unit);
    }
    place.querySelector(".when").textContent = ago(value.at_ms);
    place.classList.toggle("old", nowMs() - value.at_ms > 15 * 60_000);
    place.setAttribute("aria-pressed", String(value.key === chosenMetric));
  }
  const wish = byId("wish");
  if (wish && !touched) setWish(live.level ?? 0);
  for (const button of document.querySelectorAll("#lamp-form [data-level]")) {
    button.setAttribute("aria-pressed", String(wish !== null && Number(button.dataset.level) === Number(wish.value)));
  }
}

byId("tiles").addEventListener("click", (event) => {
  const key = event.target.closest(".tile")?.dataset.key;
  if (key) chooseMetric(key);
});

// Lamp -------------------------------------------------------------------------------------------

let touched = false;

function setWish(level) {
  const wish = byId("wish");
  wish.value = level;
  wish.style.setProperty("--share", level / 100);
  byId("wish-value").textContent = `${number(level)} %`;
}

byId("wish")?.addEventListener("input", (event) => {
  touched = true;
  setWish(Number(event.target.value));
  show();
});
byId("lamp-form")?.addEventListener("click", (event) => {
  const level = event.target.closest("[data-level]")?.dataset.level;
  if (level === undefined) return;
  touched = true;
  setWish(Number(level));
  send();
});
byId("lamp-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});

async function send() {
  const button = byId("send");
  if (button.disabled) return;
  button.disabled = true;
  show();
  await setLamp(page.dataset.code, Number(byId("wish").value), Number(byId("duration").value), byId("outcome"));
  button.disabled = false;
  // The slider stays where it was put until the lamp itself reports its level.
}

// History ----------------------------------------------------------------------------------------

let chart = null;
let chartData = [[], []];
let asked = 0;

function chooseMetric(key) {
  chosenMetric = key;
  show();
  loadHistory();
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { line: value("--accent"), lamp: value("--lamp-fill"), ink: value("--ink-2"), grid: value("--line"), font: getComputedStyle(document.body).fontFamily };
}

function note(words) {
  byId("chart-note").hidden = words === "";
  byId("chart-note").textContent = words;
}

async function loadHistory() {
  const value = live.latest.find((each) => each.key === chosenMetric);
  if (!value) return;
  const turn = ++asked;
  const [metric, instance] = value.key.split("/");
  const toMs = Math.round(nowMs());
  const query = new URLSearchParams({ metric, instance, from_ms: toMs - rangeS * 1000, to_ms: toMs });
  byId("history-metric").textContent = value.unit ? `${value.label} (${value.unit})` : value.label;
  if (!chart) note(text("loading"));
  try {
    const response = await fetch(`/data/poles/${poleUrl}/history?${query}`);
    if (!response.ok) throw new Error(response.statusText);
    const answer = await response.json();
    if (turn !== asked) return; // a later question was asked meanwhile
    chartData = withGaps(answer.at_ms.map((at) => at / 1000), answer.value);
    note(answer.at_ms.length ? "" : text("no_history"));
    draw(value, [rangeStart(answer.at_ms, toMs), toMs / 1000]);
  } catch {
    if (turn === asked) note(text("history_failed"));
  }
}

// A line over hours in which nothing was stored would be made up: the line breaks instead.
function withGaps(times, values) {
  const steps = times.slice(1).map((at, k) => at - times[k]).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const [outTimes, outValues] = [[], []];
  times.forEach((at, k) => {
    if (k > 0 && at - times[k - 1] > 4 * usual) {
      outTimes.push((at + times[k - 1]) / 2);
      outValues.push(null);
    }
    outTimes.push(at);
    outValues.push(values[k]);
  });
  return [outTimes, outValues];
}

function rangeStart(times, toMs) {
  const start = toMs / 1000 - rangeS;
  if (rangeIsChosen || !times.length) return start;
  return Math.max(start, Math.min(times[0] / 1000, toMs / 1000 - shortestS));
}

// A scale that does not make noise look like a swing: amounts stand on zero, shares fill their
// whole range, and what has no natural zero gets a least span.
const leastSpan = { V: 6, "°C": 4 };

function scaleOf(value) {
  if (value.unit === "%") return () => [-2, 104];
  if (value.key.startsWith("supply.power_factor")) return () => [0, 1.04];
  if (["W", "A", "µg/m³"].includes(value.unit)) return (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.12 : 1];
  return (_, low, high) => (low === null ? [0, 1] : widen(low, high, leastSpan[value.unit] ?? 0));
}

function draw(value, range) {
  chart?.destroy();
  const { line, lamp, ink, grid, font } = colours();
  const isLamp = value.key.startsWith("lamp.");
  const stroke = isLamp ? lamp : line;
  const box = byId("chart");
  const axis = { stroke: ink, font: `12px ${font}`, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 5 } };
  chart = new window.uPlot(
    {
      width: box.clientWidth,
      height: Math.max(200, Math.min(300, box.clientWidth * 0.45)),
      scales: {
        x: { time: true, min: range[0], max: range[1], range: () => range },
        y: { range: scaleOf(value) },
      },
      axes: [{ ...axis, values: (_, ticks, __, ___, step) => ticks.map((tick) => axisTime(tick * 1000, step)) }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => number(tick, Math.abs(tick % 1) > 1e-9 ? (Math.abs(tick) < 1 ? 2 : 1) : 0)) }],
      series: [
        { value: (_, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString(document.documentElement.lang, { hour12: false })) },
        { label: value.label, stroke, width: 1.6, paths: isLamp ? window.uPlot.paths.stepped({ align: 1 }) : undefined, fill: `${stroke}22`, points: { show: chartData[0].length < 80, size: 5, fill: stroke }, value: (_, shown) => (shown === null ? "–" : `${number(shown, value.digits)} ${value.unit}`) },
      ],
      cursor: { y: false, points: { size: 8 } },
      legend: { live: true },
    },
    chartData,
    box,
  );
}

function widen(low, high, least) {
  const room = Math.max((high - low) * 0.12, (least - (high - low)) / 2) || Math.abs(high) * 0.05 || 1;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

byId("ranges").addEventListener("click", (event) => {
  const seconds = event.target.closest("button")?.dataset.seconds;
  if (!seconds) return;
  rangeS = Number(seconds);
  rangeIsChosen = true;
  for (const button of byId("ranges").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.seconds === seconds));
  }
  loadHistory();
});
let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(loadHistory, 150);
});
addEventListener("themechange", loadHistory);

// Live -------------------------------------------------------------------------------------------

async function loadEvents() {
  const response = await fetch(`/poles/${poleUrl}/events`);
  if (!response.ok) return;
  byId("events").innerHTML = await response.text();
  showTimes();
}

function firstMetric() {
  return (live.latest.find((value) => value.key.startsWith("supply.active_power_w")) ?? live.latest[0])?.key;
}

show();
if (firstMetric()) chooseMetric(firstMetric());
else note(text("no_history"));
setInterval(show, 1000);
// The chart follows slowly: its newest point is in the tiles already.
setInterval(loadHistory, 30_000);
openStream(`/live/poles/${poleUrl}`, {
  pole: (data) => {
    if (data.level !== live.level) touched = false;
    const hadEvents = `${live.event_count}/${live.newest_event_ms}`;
    live = data;
    setServerNow(data.at_ms);
    show();
    if (chosenMetric === null && firstMetric()) chooseMetric(firstMetric());
    if (hadEvents !== `${data.event_count}/${data.newest_event_ms}`) loadEvents();
  },
});
