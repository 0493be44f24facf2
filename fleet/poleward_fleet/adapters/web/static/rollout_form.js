// The wizard: what the dry run showed holds only until something in the form changes, and only what
// fits the chosen release is asked. Not the dry run itself; htmx fetches it.

const form = document.getElementById("new-rollout");
let filledIn = "";

function fit() {
  const chosen = form.release.selectedOptions[0].dataset;
  form.dataset.kind = "gateways" in chosen ? "gateways" : "nodes";
  form.dataset.onFailure = form.on_failure.value;
  form.toggleAttribute("data-permitted", chosen.permitted !== "");
  // In a rollout of another name than the permission's, nodes that run something newer are left out.
  const name = form.elements.name;
  if (name.value === filledIn) name.value = filledIn = chosen.permitted;
  const back = form.return_release;
  back.disabled = form.on_failure.value !== "return";
  const permitted = [`rollout:${name.value}`, `gateway:${form.poles.value.trim()}`];
  for (const option of back.options) {
    // Older than what they run then is only what permits it.
    const isNewer = Number(option.dataset.sequence) > Number(chosen.sequence);
    const fits = option.dataset.profile === chosen.profile && (isNewer || permitted.includes(option.dataset.downgrade));
    option.hidden = option.disabled = option.value !== "" && !fits;
  }
  if (back.selectedOptions[0]?.disabled) back.value = "";
}

form?.addEventListener("input", () => {
  document.getElementById("trial").replaceChildren();
  fit();
});
if (form) fit();
