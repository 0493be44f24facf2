// Fields in which people type local moments: the form sends Unix milliseconds.

const MINUTE_MS = 60_000;

for (const field of document.querySelectorAll("input[data-moment]")) {
  const sent = document.createElement("input");
  sent.type = "hidden";
  sent.name = field.dataset.moment;
  sent.value = field.dataset.at;
  field.after(sent);
  const atMs = Number(field.dataset.at);
  if (atMs) {
    const offsetMs = new Date(atMs).getTimezoneOffset() * MINUTE_MS;
    field.value = new Date(atMs - offsetMs).toISOString().slice(0, 16);
  }
  field.addEventListener("change", () => {
    sent.value = field.value ? String(new Date(field.value).getTime()) : "";
  });
}
