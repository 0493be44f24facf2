// The wizard: what the dry run showed holds only until something in the form changes.
// Not the dry run itself; htmx fetches it.

const form = document.getElementById("new-rollout");
form?.addEventListener("input", () => document.getElementById("trial").replaceChildren());
