// Addresses are relative to the page, so that it works under any path prefix.
const DOCUMENTS = { inference: "openapi.json", control: "control/openapi.json", hooks: "hooks/openapi.json" };
const asked = new URLSearchParams(location.search).get("document");
const shown = Object.hasOwn(DOCUMENTS, asked) ? asked : "inference";

for (const link of document.querySelectorAll("nav a")) {
  const name = link.dataset.document;
  if (name === shown) {
    link.setAttribute("aria-current", "page");
  } else {
    // A server on its own has no registry API: offer only what is there.
    fetch(DOCUMENTS[name]).then((answer) => (link.hidden = !answer.ok), () => (link.hidden = true));
  }
}

// Swagger UI has dark colours and leaves it to the page when to use them.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

SwaggerUIBundle({
  dom_id: "#swagger",
  url: DOCUMENTS[shown],
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
});
