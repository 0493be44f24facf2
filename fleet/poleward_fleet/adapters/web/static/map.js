// The map page: loads the poles, keeps them live, and connects search, filters, list and card to the map.

import { dataIsFrom, onConnection, openStream } from "./freshness.js";
import { setLamp } from "./lamp_command.js";
import { PoleColumns, STATUSES, STATUS_INDEX } from "./pole_columns.js";
import { PoleLayer } from "./pole_layer.js";
import { streetLines } from "./street_lines.js";
import { ago, number, percent, setServerNow, text } from "./texts.js";

const L = window.L;
const LISTED = 60;
const ATTENTION = ["fault", "silent", "offline"].map((name) => STATUS_INDEX[name]);
const byId = (id) => document.getElementById(id);
const frame = byId("map");

const map = L.map(frame, {
  zoomControl: false, attributionControl: false, preferCanvas: true,
  zoomSnap: 0.25, zoomDelta: 1, wheelPxPerZoomLevel: 90, minZoom: 3, maxZoom: 20, keyboardPanDelta: 120,
});
L.control.zoom({ position: "topright" }).addTo(map);
L.control.scale({ position: "bottomleft", imperial: false }).addTo(map);
map.setView([0, 0], 3);
new ResizeObserver(() => map.invalidateSize({ pan: false })).observe(frame);
if (frame.dataset.tiles) {
  L.tileLayer(frame.dataset.tiles, { maxZoom: 20, className: "tiles" }).addTo(map);
}
const layer = new PoleLayer().addTo(map);

let columns = null;
let areas = [];
let selected = -1;
let wanted = new Set(STATUSES.keys());
let chosenAreas = null;
let inService = 0;
let found = null; // codes of a search, or null
const began = performance.now();

// Loading ----------------------------------------------------------------------------------------

async function load() {
  let answer;
  try {
    const response = await fetch("/data/map");
    if (response.status === 401) return location.reload();
    if (!response.ok) throw new Error((await response.json()).detail);
    answer = await response.json();
  } catch (error) {
    if (columns === null) cover("failed", error.message);
    return undefined;
  }
  const first = columns === null;
  const chosenCode = selected >= 0 ? columns.code[selected] : null;
  setServerNow(answer.at_ms);
  areas = answer.areas;
  columns = new PoleColumns(answer);
  selected = chosenCode ? (columns.indexOfCode.get(chosenCode) ?? -1) : -1;
  dataIsFrom(answer.at_ms);
  cover(columns.count ? "" : "empty");
  if (first && columns.count) fit();
  applyFilter();
  layer.setColumns(columns);
  layer.select(selected);
  layer.once("drawn", () => {
    frame.dataset.state = "ready";
    frame.dataset.readyMs = Math.round(performance.now() - began);
    // The background comes after the first picture.
    setTimeout(() => layer.setBackground(streetLines(columns), areaLabels()), 0);
  });
  if (first) chooseFromAddress();
  return undefined;
}

function cover(name, why = "") {
  for (const state of ["loading", "failed", "empty"]) byId(`map-${state}`).hidden = state !== name;
  byId("map-failed-why").textContent = why;
  frame.dataset.state = name || "drawing";
}

function areaLabels() {
  const depth = new Map();
  const byCode = new Map(areas.map((area) => [area.code, area]));
  for (const area of areas) {
    let [level, above] = [0, area];
    while (byCode.has(above.parent) && level < 6) [level, above] = [level + 1, byCode.get(above.parent)];
    depth.set(area.code, level);
  }
  const sums = new Map();
  for (let i = 0; i < columns.count; i++) {
    let code = columns.areaCodes[columns.area[i]];
    while (byCode.has(code)) {
      const sum = sums.get(code) ?? { x: 0, y: 0, n: 0 };
      sum.x += columns.x[i];
      sum.y += columns.y[i];
      sum.n += 1;
      sums.set(code, sum);
      code = byCode.get(code).parent;
    }
  }
  const ranges = [[3, 10], [10.5, 13], [12.5, 15], [14, 15.5]];
  return [...sums].map(([code, sum]) => {
    const [fromZoom, toZoom] = ranges[Math.min(depth.get(code), 3)];
    return { text: byCode.get(code).name, x: sum.x / sum.n, y: sum.y / sum.n, n: sum.n, fromZoom, toZoom };
  }).sort((a, b) => b.n - a.n);
}

function fit() {
  const bounds = columns.bounds(chosenAreas);
  if (bounds) map.fitBounds(bounds, { padding: [40, 40], maxZoom: 18, animate: false });
}

// Counts, filters, list ---------------------------------------------------------------------------

function showTotals() {
  const totals = columns.totals(chosenAreas);
  inService = totals.inService;
  byId("online-rate").textContent = percent(totals.onlineRate);
  byId("online-count").textContent = `${number(totals.online)} / ${number(totals.inService)}`;
  byId("lit-rate").textContent = percent(totals.litRate);
  byId("lit-count").textContent = `${number(totals.lit)} / ${number(totals.shouldBeLit)}`;
  for (const button of document.querySelectorAll("[data-status]")) {
    const count = totals.byStatus[STATUS_INDEX[button.dataset.status]];
    button.querySelector(".count").textContent = number(count);
    button.classList.toggle("none", count === 0);
  }
}

function applyFilter() {
  columns.filter(wanted, chosenAreas);
  showTotals();
  showList();
  layer.redraw();
}

function listed() {
  if (found !== null) return found.map((code) => columns.indexOfCode.get(code)).filter((i) => i !== undefined);
  const worst = [];
  for (const status of ATTENTION) {
    for (let i = 0; i < columns.count; i++) {
      if (columns.status[i] === status && columns.shown[i]) worst.push(i);
    }
  }
  return worst;
}

function showList() {
  const list = byId("listing");
  const title = byId("listing-title");
  title.textContent = found === null ? title.dataset.attention : title.dataset.results;
  const all = listed();
  const held = document.activeElement?.closest("#listing")?.querySelector(":focus")?.dataset.code;
  list.replaceChildren(
    ...all.slice(0, LISTED).map((i) => {
      const name = STATUSES[columns.status[i]];
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.code = columns.code[i];
      button.setAttribute("aria-current", i === selected ? "true" : "false");
      button.append(stateMark(name), span("code", columns.code[i]), span("quiet", text(`status.${name}`)));
      item.append(button);
      return item;
    }),
  );
  const rest = all.length - LISTED;
  if (rest > 0) list.append(note(text("more", { n: number(rest) })));
  if (all.length === 0) list.append(note(text(found !== null ? "none_found" : inService ? "all_well" : "none_in_service")));
  if (held) list.querySelector(`[data-code="${CSS.escape(held)}"]`)?.focus();
}

function span(name, words) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = words;
  return element;
}

function note(words) {
  const item = document.createElement("li");
  item.className = "note quiet";
  item.textContent = words;
  return item;
}

function stateMark(name) {
  const mark = span(`state state-${name}`, "");
  mark.innerHTML = `<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#state-${name}"/></svg>`;
  return mark;
}

byId("listing").addEventListener("click", (event) => {
  const code = event.target.closest("button")?.dataset.code;
  if (code) choose(columns.indexOfCode.get(code), true);
});
byId("listing").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
});

document.querySelector(".statuses").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const status = STATUS_INDEX[button.dataset.status];
  // The first press shows only this state, the last released button shows all again.
  if (wanted.size === STATUSES.length) wanted = new Set([status]);
  else if (!wanted.delete(status)) wanted.add(status);
  if (wanted.size === 0) wanted = new Set(STATUSES.keys());
  for (const each of document.querySelectorAll("[data-status]")) {
    each.setAttribute("aria-pressed", String(wanted.has(STATUS_INDEX[each.dataset.status])));
  }
  document.querySelector(".statuses").classList.toggle("filtered", wanted.size < STATUSES.length);
  if (columns) applyFilter();
});

byId("area")?.addEventListener("change", (event) => {
  const root = event.target.value;
  chosenAreas = root ? new Set([root]) : null;
  for (let grown = true; root && grown; ) {
    grown = false;
    for (const area of areas) {
      if (chosenAreas.has(area.parent) && !chosenAreas.has(area.code)) {
        chosenAreas.add(area.code);
        grown = true;
      }
    }
  }
  if (!columns) return;
  applyFilter();
  fit();
});

byId("search").addEventListener("input", (event) => {
  const words = event.target.value.trim().toLowerCase();
  if (!columns) return;
  found = words ? columns.code.filter((code) => code.toLowerCase().includes(words)).slice(0, 500) : null;
  showList();
});
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && found?.length) choose(columns.indexOfCode.get(found[0]), true);
  if (event.key === "ArrowDown") {
    byId("listing").querySelector("button")?.focus();
    event.preventDefault();
  }
});
byId("fit").addEventListener("click", () => columns && fit());
byId("map-retry").addEventListener("click", () => {
  cover("loading");
  load();
});

// One pole ---------------------------------------------------------------------------------------

function choose(index, go) {
  if (index === undefined) return;
  selected = index;
  layer.select(index);
  byId("pole-card").hidden = index < 0;
  if (index < 0) {
    history.replaceState(null, "", "/");
    return;
  }
  history.replaceState(null, "", `#${encodeURIComponent(columns.code[index])}`);
  const outcome = byId("card-outcome");
  if (outcome) outcome.textContent = "";
  showCard();
  if (go) {
    map.setView([columns.latitude[index], columns.longitude[index]], Math.max(map.getZoom(), 17), { animate: false });
    // On a phone the card covers the middle of the map, so the pole moves up into what is left.
    const card = byId("pole-card");
    if (card.offsetWidth > frame.offsetWidth * 0.8) map.panBy([0, card.offsetHeight / 2], { animate: false });
  }
  for (const button of byId("listing").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.code === columns.code[index]));
  }
}

function showCard() {
  if (selected < 0) return;
  const code = columns.code[selected];
  const name = STATUSES[columns.status[selected]];
  const address = `/poles/${encodeURIComponent(code)}`;
  byId("card-code").textContent = code;
  byId("card-code").href = byId("card-open").href = address;
  const state = byId("card-state");
  state.className = `state state-${name}`;
  state.querySelector("use").setAttribute("href", `/static/icons.svg#state-${name}`);
  state.querySelector(".word").textContent = text(`status.${name}`);
  byId("card-age").textContent = ago(columns.heardMs[selected]);
  const level = columns.level[selected];
  byId("card-level").textContent = level < 0 ? "–" : `${number(level)} %`;
  const power = columns.powerDw[selected];
  byId("card-power").textContent = power < 0 ? "–" : `${number(power / 10, 1)} W`;
  for (const button of document.querySelectorAll("#card-presets button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.level) === level));
    button.disabled = name === "no_node";
  }
}

function chooseFromAddress() {
  const code = decodeURIComponent(location.hash.slice(1));
  if (columns.indexOfCode.has(code)) choose(columns.indexOfCode.get(code), true);
}

map.on("click", (event) => choose(layer.poleAt(event.containerPoint), false));
map.on("mousemove", (event) => frame.classList.toggle("over-pole", layer.poleAt(event.containerPoint, 10) >= 0));
byId("card-close").addEventListener("click", () => choose(-1, false));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected >= 0) choose(-1, false);
});
byId("card-presets")?.addEventListener("click", (event) => {
  const level = event.target.closest("button")?.dataset.level;
  if (level !== undefined) setLamp(columns.code[selected], Number(level), 0, byId("card-outcome"));
});

// Live -------------------------------------------------------------------------------------------

let listDue = false;
setInterval(() => {
  if (columns) showCard();
  if (!listDue) return;
  listDue = false;
  applyFilter();
}, 1000);

let wasLost = false;
onConnection((lost) => {
  layer.setStale(lost);
  wasLost = lost || wasLost;
});

await load();
openStream("/live/map", {
  hello: () => {
    // Changes during a gap were missed, so the whole map is asked for again.
    if (wasLost || columns === null) load();
    wasLost = false;
  },
  poles: (change) => {
    if (columns === null) return;
    setServerNow(change.at_ms);
    if (!columns.apply(change)) load();
    listDue = true;
    layer.redraw();
    showCard();
  },
});
addEventListener("themechange", () => layer.readColours());
// For measuring how smoothly the map moves.
frame.poleLayer = layer;
frame.leafletMap = map;
