// Asks about a visit: the fleet, or where it cannot be reached the gateway on site that has a work order.

import { keepPasses, keptPasses } from "./visit_store.js";

const TIMEOUT_MS = 20000;
const BLINK_TIMEOUT_MS = 90000;
const csrf = document.querySelector('meta[name="csrf"]').content;
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hexOf = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

// Takes along, while there is a network, what a gateway wants to see; the secret cannot be read again.
export async function takePasses() {
  const answer = await fetch("/data/commission/passes").catch(() => null);
  if (!answer?.ok) return;
  const { passes } = await answer.json();
  await keepPasses(await Promise.all(passes.map(async ({ secret, ...pass }) => {
    const key = await crypto.subtle.importKey("raw", bytesOf(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return { ...pass, key };
  })));
}

// protos/poleward_commissioning/proof.py says what is proved.
async function proved(pass, method, path, content) {
  const at = Date.now();
  const digest = hexOf(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content)));
  const said = new TextEncoder().encode(`${method} ${path} ${at} ${digest}`);
  return {
    "x-poleward-technician": pass.technician,
    "x-poleward-time": String(at),
    "x-poleward-proof": hexOf(await crypto.subtle.sign("HMAC", pass.key, said)),
  };
}

// Who may answer, the likeliest first; null is the fleet. A visit stays with whom it began.
async function answerers(visit) {
  const passes = await keptPasses();
  if (visit.gateway) return [...passes.filter((pass) => pass.gateway === visit.gateway), null];
  if (visit.state) return [null];
  return [null, ...passes.filter((pass) => pass.expires_at_ms > Date.now() && pass.poles.includes(visit.pole_code))];
}

async function asked(pass, method, path, content) {
  const ours = pass ? await proved(pass, method, path, content) : { "x-csrf-token": csrf };
  const limit_ms = path.endsWith("/blink") ? BLINK_TIMEOUT_MS : TIMEOUT_MS;
  return fetch(`${pass?.url ?? ""}${path}`, {
    method,
    headers: { "content-type": "application/json", ...ours },
    body: content || undefined,
    credentials: pass ? "omit" : "same-origin",
    signal: AbortSignal.timeout(limit_ms),
  }).catch(() => null);
}

// Returns { status, said }; null when nobody answered.
export async function ask(visit, method, path, body) {
  const content = body ? JSON.stringify(body) : "";
  for (const pass of await answerers(visit)) {
    const answer = await asked(pass, method, path, content);
    // Who does not know the visit may not have been told of it yet.
    if (!answer || (answer.status === 404 && visit.gateway)) continue;
    const said = await answer.json().catch(() => ({}));
    if (pass && answer.ok) visit.gateway = pass.gateway;
    return { status: answer.status, said };
  }
  return null;
}
