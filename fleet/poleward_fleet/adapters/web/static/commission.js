// The technician's page: take a label and a pole, keep the visit, send it, watch its checks, sign off.

import { codeOf, labelOf, macOf, scan } from "./label_scanner.js";
import { clockTime, number, text } from "./texts.js";
import { ask, takePasses } from "./visit_answers.js";
import { dropVisit, keepVisit, keptVisits } from "./visit_store.js";

const POLL_MS = 1000;
const RETRY_MS = 3000;
const BLINKS = 3; // before somebody has to ask for another
const $ = (id) => document.getElementById(id);

let place = null;
let visits = [];
const busy = new Set();

// Position

function locate() {
  $("place").textContent = text("commission.locating");
  if (!navigator.geolocation) return;
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      place = { latitude_deg: coords.latitude, longitude_deg: coords.longitude, accuracy_m: coords.accuracy };
      $("place").textContent = text("commission.located", { m: number(coords.accuracy) });
    },
    (error) => ($("place").textContent = text("commission.no_place", { why: error.message })),
    { enableHighAccuracy: true, timeout: 15000, maximumAge: 10000 },
  );
}

// Label and pole

let stopScan = null;
$("scan").dataset.start = $("scan").textContent;

async function toggleScan() {
  const show = (scanning) => ($("scan").textContent = scanning ? $("scan").dataset.stop : $("scan").dataset.start);
  $("label-problem").textContent = "";
  if (stopScan) {
    stopScan();
    stopScan = null;
    return show(false);
  }
  try {
    stopScan = await scan($("camera"), (content) => {
      const label = labelOf(content);
      $("label-problem").textContent = label ? "" : text("commission.not_label");
      if (!label) return false;
      $("mac").value = label.mac;
      $("code").value = label.code;
      stopScan = null;
      show(false);
      navigator.vibrate?.(80);
      $("pole").focus();
      return true;
    });
    show(true);
  } catch {
    $("label-problem").textContent = text("commission.no_camera");
  }
}

async function offerPoles() {
  const answer = await fetch("/data/commission/poles").catch(() => null);
  if (!answer?.ok) return;
  const { poles } = await answer.json();
  $("poles").replaceChildren(...poles.map((code) => Object.assign(document.createElement("option"), { value: code })));
}

function wishedVisit() {
  const mac = macOf($("mac").value);
  const claim_code = codeOf($("code").value);
  const pole_code = $("pole").value.trim();
  const isNew = $("is-new").checked;
  const label = /^[0-9a-f]{12}$/.test(mac) ? (/^[0-9A-Z]{16}$/.test(claim_code) ? "" : "commission.bad_code") : "commission.bad_mac";
  const pole = !pole_code ? "commission.bad_pole" : isNew && !place ? "commission.need_place" : "";
  $("label-problem").textContent = label && text(label);
  $("pole-problem").textContent = pole && text(pole);
  if (label || pole) return null;
  const equipment = [...document.querySelectorAll("[name=equipment]:checked")].map((box) => box.value);
  const new_pole = isNew
    ? { area_code: $("area").value, lamp_nominal_w: Number($("nominal").value), equipment }
    : null;
  return {
    visit_id: crypto.randomUUID(), mac, claim_code, pole_code, place, new_pole,
    began_at_ms: Date.now(), swap: false, place_confirmed: false,
    state: null, problem: "", sign: null, wants_blink: true, ready_s: null, gateway: "",
  };
}

async function begin(event) {
  event.preventDefault();
  const visit = wishedVisit();
  if (!visit) return;
  await keepVisit(visit);
  $("visit-form").reset();
  $("new-pole").hidden = true;
  await reload();
}

// Sending: each visit goes on from where it stands, as soon as the fleet or a gateway on site answers.

async function answerTo(visit, method, path, body) {
  const answer = await ask(visit, method, path, body);
  if (answer?.status === 200) return answer.said;
  const { status = 0, said = {} } = answer ?? {};
  const words = said.detail || said.error || "";
  throw Object.assign(new Error(status === 401 && !visit.gateway ? text("commission.login") : words), { status });
}

async function advance(visit) {
  const path = `/data/visits/${visit.visit_id}`;
  if (!visit.state) {
    const { state, problem, sign, wants_blink, ready_s, gateway, ...request } = visit;
    visit.state = await answerTo(visit, "POST", "/data/visits", request);
    visit.claim_code = ""; // it was of use once
  } else if (visit.wants_blink && verdictOf(visit.state, "link") === "passed") {
    visit.state = await answerTo(visit, "POST", `${path}/blink`);
    visit.blinks = (visit.blinks ?? 0) + 1;
    visit.wants_blink = verdictOf(visit.state, "lamp") === "failed" && visit.blinks < BLINKS;
  } else if (visit.sign) {
    visit.state = await answerTo(visit, "POST", `${path}/sign-off`, visit.sign);
    visit.sign = null;
  } else if (!isOver(visit)) {
    visit.state = await answerTo(visit, "GET", path);
  }
  if (visit.state.is_complete && visit.ready_s === null) visit.ready_s = (Date.now() - visit.began_at_ms) / 1000;
}

const verdictOf = (state, name) => state.checks.find((check) => check.name === name)?.verdict;
const isOver = (visit) => visit.state?.signed_at_ms && visit.state.is_told && !visit.sign;

async function work(visit) {
  if (busy.has(visit.visit_id) || isOver(visit) || visit.problem?.status === 409 || visit.problem?.status === 403) return;
  busy.add(visit.visit_id);
  try {
    await advance(visit);
    visit.problem = "";
  } catch (error) {
    // Without a status nobody answered: it stays here and is tried again.
    visit.problem = error.status ? { status: error.status, words: error.message } : { status: 0, words: "" };
    if (error.status === 409) visit.sign = null; // to be decided anew
  } finally {
    busy.delete(visit.visit_id);
  }
  if (visits.includes(visit)) await keepVisit(visit);
  show();
}

// Showing

function statusOf(visit) {
  const { problem, state } = visit;
  if (problem?.status) return ["problem", problem.words];
  if (problem) return ["waiting", text(visit.sign ? "commission.sign_waiting" : "commission.waiting")];
  if (state?.signed_at_ms && !state.is_told) return ["untold", text("commission.untold", { at: clockTime(state.signed_at_ms), gateway: visit.gateway })];
  if (state?.signed_at_ms) return ["signed", text("commission.signed", { at: clockTime(state.signed_at_ms) })];
  if (!state) return ["sending", text("commission.sending")];
  return visit.ready_s === null ? ["checking", text("commission.checking")] : ["ready", text("commission.took", { s: number(visit.ready_s, 1) })];
}

function element(tag, properties = {}, ...children) {
  const { dataset, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

function button(key, act, isPrimary = false) {
  const made = element("button", { type: "button", className: isPrimary ? "button primary big" : "button", textContent: text(key) });
  made.dataset.act = key;
  made.addEventListener("click", act);
  return made;
}

function decide(visit, change) {
  Object.assign(visit, change, { problem: "" });
  return keepVisit(visit).then(() => {
    show();
    return work(visit);
  });
}

function actionsOf(visit) {
  const drop = button("commission.drop", () => dropVisit(visit.visit_id).then(reload));
  if (visit.problem?.status && !visit.state) {
    const swap = button("commission.swap", () => decide(visit, { swap: true }));
    const confirm = button("commission.confirm", () => decide(visit, { place_confirmed: true }));
    const isConflict = visit.problem.status === 409;
    return [...(isConflict && !visit.swap ? [swap] : []), ...(isConflict && !visit.place_confirmed ? [confirm] : []), drop];
  }
  if (isOver(visit) || (visit.state?.signed_at_ms && visit.problem?.status)) return [drop];
  if (!visit.state || visit.state.signed_at_ms || visit.sign) return [];
  const note = element("textarea", { placeholder: text("commission.note"), value: visit.note ?? "", maxLength: 500 });
  note.addEventListener("input", () => (visit.note = note.value));
  const sign = button("commission.sign", () => decide(visit, { sign: { note: visit.note ?? "" } }), true);
  const again = button("commission.blink", () => decide(visit, { wants_blink: true }));
  return visit.state.is_complete ? [sign, again] : [again, note, sign];
}

function card(visit) {
  const [kind, words] = statusOf(visit);
  const checks = (visit.state?.checks ?? []).map((check) =>
    element("li", { dataset: { check: check.name, verdict: check.verdict } },
      element("span", { textContent: text(`check.${check.name}`) }),
      element("span", { className: "value", textContent: check.value || text(`verdict.${check.verdict}`) })));
  return element("article", { className: "visit", dataset: { visit: visit.visit_id, kind } },
    element("h3", { textContent: visit.pole_code }),
    element("p", { className: "status", textContent: words, dataset: { kind } }),
    ...(visit.gateway ? [element("p", { className: "quiet", textContent: text("commission.by_gateway", { gateway: visit.gateway }) })] : []),
    element("ul", { className: "checks" }, ...checks),
    element("div", { className: "actions" }, ...actionsOf(visit)));
}

function show() {
  // Whoever writes a note is not interrupted.
  if (document.activeElement?.closest("#visits textarea")) return;
  $("no-visits").hidden = visits.length > 0;
  $("visits").replaceChildren(...visits.map(card));
}

async function reload() {
  visits = await keptVisits();
  show();
  visits.forEach(work);
}

$("scan").addEventListener("click", toggleScan);
$("locate").addEventListener("click", locate);
$("is-new").addEventListener("change", () => ($("new-pole").hidden = !$("is-new").checked));
$("visit-form").addEventListener("submit", begin);
addEventListener("online", () => visits.forEach(work));
addEventListener("online", takePasses);
setInterval(() => visits.filter((visit) => visit.state).forEach(work), POLL_MS);
setInterval(() => visits.filter((visit) => !visit.state).forEach(work), RETRY_MS);
navigator.serviceWorker?.register("/commission-worker.js", { scope: "/commission" });
locate();
offerPoles();
takePasses();
reload();
