// The wizard: what the dry run showed holds only until something in the form changes, and only what
// fits the chosen release is asked. Not the dry run itself; htmx fetches it.

const form = document.getElementById("new-rollout");
let filledIn = "";

function fit() {
  const chosen = form.release.selectedOptions[0].dataset;
  form.dataset.kind = "gateways" in chosen ? "gateways" : "nodes";
  form.dataset.onFailure = form.on_failure.value;
  const back = form.return_release;
  back.disabled = form.on_failure.value !== "return";
  for (const option of back.options) {
    // Only what is newer, or permits going back, is taken.
    const steps = Number(option.dataset.sequence) - Number(chosen.sequence);
    const fits = option.dataset.profile === chosen.profile && (steps > 0 || (steps < 0 && option.dataset.downgrade !== ""));
    option.hidden = option.disabled = option.value !== "" && !fits;
  }
  if (back.selectedOptions[0]?.disabled) back.value = "";
  // In a rollout of another name than the permission's, whoever runs something newer is left out.
  const permission = chosen.downgrade || (!back.disabled && back.selectedOptions[0].dataset.downgrade) || "";
  const permitted = permission.startsWith("rollout:") ? permission.slice(8) : "";
  const name = form.elements.name;
  form.toggleAttribute("data-permitted", permitted !== "");
  if (name.value === filledIn) name.value = filledIn = permitted;
}

form?.addEventListener("input", () => {
  document.getElementById("trial").replaceChildren();
  fit();
});
if (form) fit();
