// Small behaviours of the staff pages: dialogs, copying, live totals, messages from htmx. All work late.

const toasts = document.querySelector(".toasts");

function toast(text, kind = "") {
  const box = document.createElement("p");
  box.className = `toast ${kind}`;
  box.setAttribute("role", kind === "stop" ? "alert" : "status");
  box.textContent = text;
  toasts.append(box);
  setTimeout(() => box.remove(), 8000);
}

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  const copier = event.target.closest("[data-copy]");
  if (copier) {
    await navigator.clipboard?.writeText(document.getElementById(copier.dataset.copy).textContent.trim());
    toast(copier.dataset.said);
  }
});

// What refreshes itself rests while nobody can see it.
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[hx-trigger^=every]")) event.preventDefault();
});

// A refusal that is a part of the page (a form with its error) is shown in its place; anything else is a toast.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status < 400 || !xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});

document.body.addEventListener("htmx:responseError", (event) => {
  let message = toasts.dataset.failed;
  try {
    message = JSON.parse(event.detail.xhr.responseText).message ?? message;
  } catch {
    // Not our JSON (a proxy's page): the general message stands.
  }
  toast(message, "stop");
});
document.body.addEventListener("htmx:sendError", () => toast(toasts.dataset.offline, "stop"));

// A file that would be refused is refused before it is sent.
for (const input of document.querySelectorAll("input[type=file][data-most]")) {
  input.addEventListener("change", () => {
    const over = [...input.files].some((file) => file.size > Number(input.dataset.most));
    input.setCustomValidity(over ? input.dataset.tooLarge : "");
    if (over) input.reportValidity();
  });
}

// A field that submits its form when it changes, without htmx: filters work with or without scripts.
for (const select of document.querySelectorAll("select[data-submit]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
