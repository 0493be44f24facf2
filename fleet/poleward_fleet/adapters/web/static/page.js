// What every page does: ages that count, local times, theme, confirmations.

import { connectionIsLost, dataIsFrom } from "./freshness.js";
import { ago, dayTime, exactTime } from "./texts.js";

export function showTimes() {
  for (const element of document.querySelectorAll("time.age")) {
    const atMs = Number(element.dataset.at);
    element.textContent = ago(atMs);
    if (atMs) element.title = exactTime(atMs);
  }
  for (const element of document.querySelectorAll("time.moment:not([datetime])")) {
    const atMs = Number(element.dataset.at);
    element.dateTime = new Date(atMs).toISOString();
    element.textContent = dayTime(atMs);
    element.title = exactTime(atMs);
  }
}
setInterval(showTimes, 1000);
showTimes();

// The bar scrolls where it is narrower than its entries.
document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `poleward_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));

const account = document.getElementById("account");
addEventListener("click", (event) => {
  if (account?.open && !account.contains(event.target)) account.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && account?.open) account.open = false;
});

// htmx: parts of the page that were fetched again say themselves how old they are.
document.addEventListener("htmx:sendError", () => connectionIsLost(true));
document.addEventListener("htmx:afterSettle", () => {
  connectionIsLost(false);
  showTimes();
  const part = document.querySelector("[data-as-of]");
  if (part) dataIsFrom(Number(part.dataset.asOf));
  const notice = document.querySelector("#notice .notice");
  if (notice && notice.dataset.seen) notice.remove();
  else if (notice) notice.dataset.seen = "true";
});

// What moves by itself stands still while a question about it waits: its button would be gone.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (document.getElementById("ask").open) event.detail.shouldSwap = false;
});

// What cannot be undone is asked once more, in words.
document.addEventListener("htmx:confirm", (event) => {
  const question = event.detail.question;
  if (!question) return;
  event.preventDefault();
  const dialog = document.getElementById("ask");
  document.getElementById("ask-text").textContent = question;
  document.getElementById("ask-yes").textContent = event.target.dataset.yes ?? "OK";
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") event.detail.issueRequest(true);
  };
  dialog.showModal();
});
