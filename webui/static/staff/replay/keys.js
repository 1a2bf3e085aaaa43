// The keyboard is a first-class hand; it can be switched off in its own list ("?").

const STORE = "fupan-replay-keys";

export function install({ player, transcript, questions, help }) {
  const toggle = help.querySelector("input[name=keys]");
  toggle.checked = localStorage.getItem(STORE) !== "off";
  toggle.addEventListener("change", () => localStorage.setItem(STORE, toggle.checked ? "on" : "off"));

  const actions = {
    " ": () => player.toggle(),
    k: () => player.toggle(),
    j: () => player.seek(player.now - 10_000),
    l: () => player.seek(player.now + 10_000),
    ArrowLeft: () => player.seek(player.now - 5_000),
    ArrowRight: () => player.seek(player.now + 5_000),
    ArrowUp: () => transcript.neighbour(-1),
    ArrowDown: () => transcript.neighbour(1),
    ",": () => player.seek(player.now - 40),
    ".": () => player.seek(player.now + 40),
    "/": () => transcript.search.focus(),
    "?": () => help.showModal(),
  };
  for (let n = 1; n <= 9; n++) {
    actions[n] = () => {
      const question = questions()[n - 1];
      if (question) player.seek(question.start);
    };
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    const operates = event.target.closest("button, a, summary, [role=tab]");
    if (typing || (operates && [" ", "Enter"].includes(event.key))) return;
    if (event.target.matches("[role=tab]") && event.key.startsWith("Arrow")) return;
    if (!toggle.checked && event.key !== "?") return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
