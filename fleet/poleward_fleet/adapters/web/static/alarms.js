// The list of alarms: fetched again when one began, ended or was acknowledged.

import { openStream } from "./freshness.js";

let busy = false;
let due = false;

// One request at a time, and once more when something changed meanwhile: the list is replaced by the
// answer, and what was asked of the old one is forgotten.
async function fetchAgain() {
  due = true;
  if (busy) return;
  busy = true;
  try {
    while (due) {
      due = false;
      const list = document.getElementById("alarms");
      await window.htmx.ajax("GET", list.dataset.address, { target: list, swap: "outerHTML" });
    }
  } finally {
    busy = false;
  }
}

// What changed while the stream was away is seen when it is back.
openStream("/live/alarms", { hello: fetchAgain, alarms: fetchAgain });
