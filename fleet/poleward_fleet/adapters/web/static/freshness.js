// How old the page's data is, and whether it is live: the line in the top bar and the banner under it.

import { clockTime, duration, nowMs, text } from "./texts.js";

const STALE_S = 60; // data of a page without a live stream
const SILENT_S = 15; // three missed heartbeats of a live stream

const line = document.getElementById("freshness");
const banner = document.getElementById("disconnected");
const live = line !== null && line.dataset.live !== "";
let dataAtMs = line ? Number(line.dataset.at) : 0;
let heardAtMs = 0; // last sign of life of the stream, in this browser's time
let connected = false;
let lostAtMs = 0;
const listeners = [];

// Calls back with true when the connection is lost and with false when it is back.
export function onConnection(listener) {
  listeners.push(listener);
}

export function dataIsFrom(atMs) {
  dataAtMs = atMs;
  show();
}

// For pages that ask now and then: the last question found no server, or found one again.
export function connectionIsLost(lost) {
  if (line === null || live) return;
  setLost(lost);
  show();
}

function setLost(lost) {
  if (lost === (lostAtMs > 0)) return;
  lostAtMs = lost ? nowMs() : 0;
  for (const listener of listeners) listener(lost);
}

// Opens the page's stream; handlers by event name. It reconnects by itself, and so do we when the server said no.
export function openStream(url, handlers) {
  let source;
  const alive = (atMs) => {
    connected = true;
    heardAtMs = Date.now();
    if (atMs) dataAtMs = atMs;
    setLost(false);
    show();
  };
  const open = () => {
    source = new EventSource(url);
    source.addEventListener("beat", () => alive(0));
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        const data = JSON.parse(event.data);
        alive(data.at_ms);
        handle(data);
      });
    }
    source.onerror = () => {
      connected = false;
      if (source.readyState === EventSource.CLOSED) {
        // Refused rather than cut: the session may have ended.
        fetch("/data/session").then((answer) => { if (answer.status === 401) location.reload(); }, () => {});
        setTimeout(open, 5000);
      }
    };
  };
  open();
  addEventListener("pagehide", () => source.close());
  heardAtMs = Date.now();
}

function show() {
  if (!line) return;
  banner.hidden = lostAtMs === 0;
  if (lostAtMs > 0) banner.querySelector("span").textContent = text("lost_banner", { time: clockTime(dataAtMs) });
  if (!live) {
    const seconds = (nowMs() - dataAtMs) / 1000;
    line.dataset.state = lostAtMs > 0 ? "lost" : seconds > STALE_S ? "stale" : "read";
    line.textContent = text("as_of", { time: clockTime(dataAtMs) });
    return;
  }
  const quietS = (Date.now() - heardAtMs) / 1000;
  if (lostAtMs === 0 && (quietS > SILENT_S || (!connected && quietS > 4))) {
    setLost(true);
    show();
    return;
  }
  if (lostAtMs > 0) {
    line.dataset.state = "lost";
    line.textContent = text("lost", { age: duration(quietS) });
  } else {
    line.dataset.state = connected ? "live" : "connecting";
    line.textContent = connected ? `${text("live")} · ${clockTime(dataAtMs)}` : text("connecting");
  }
}

setInterval(show, 1000);
show();
