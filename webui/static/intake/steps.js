// What a press or a page load begins, and the one way in which a step that fails is told to the candidate:
// beside the button when pressing again may help, on a screen of its own when a person has to do something else.

import { find, putTrouble, say, show } from "./screens.js";

const RETRY_MS = 3000;
const SLOW_MS = 2000;

// Trying again cannot help.
const HOPELESS = new Set([
  ...["bound_elsewhere", "expired", "finished", "replaced", "sealed", "superseded", "unknown_link"],
  ...["no_secret", "unsupported"],
]);
// The token is not (or no longer) known: only the link in the mail gives another.
const MEANS = { token_missing: "no_secret", token_unknown: "no_secret" };

const nameOf = (code) => MEANS[code] ?? code;

export const hopeless = (error) => HOPELESS.has(nameOf(error?.code));

/** The name of the texts for a code. */
function known(code) {
  const name = nameOf(code);
  return say(`problem_${name}`) === `problem_${name}` ? "other" : name;
}

let again = null;
let toldBy = "";
let hurry = () => {};

/** A screen that says what happened, what was kept and what to do; `retry`, if given, stands behind its button. */
export function problem(code, retry) {
  const name = known(code);
  find("problem-title").textContent = say(`problem_${name}_title`);
  find("problem-words").textContent = say(`problem_${name}`, { code });
  find("problem-retry").hidden = !retry || HOPELESS.has(name);
  again = retry;
  show("problem");
}

/** Says what failed beside the buttons of the screen that is shown; they stay as they are. */
export function tell(error) {
  console.error(error);
  if (hopeless(error)) {
    problem(error.code);
    return;
  }
  const code = error?.code ?? "other";
  const name = known(typeof code === "string" ? code : "other");
  putTrouble("warn", say(`problem_${name}_title`), say(`problem_${name}`, { code }));
}

/** Runs a step that leads to another screen; what it cannot do becomes a screen with a way on. */
export async function attemptStep(step) {
  try {
    await step();
  } catch (error) {
    console.error(error);
    const code = typeof error?.code === "string" ? error.code : "other";
    problem(code, () => attemptStep(step));
  }
}

/** Runs `action` on a click, once at a time. A failure is told, and the button may be pressed again. */
export function onPress(name, action) {
  const button = find(name);
  let running = false;
  button.onclick = async () => {
    if (running) {
      hurry();
      return;
    }
    running = true;
    // What another button has told stays; its own words go once it is pressed again.
    if (toldBy === name) putTrouble();
    const slow = setTimeout(() => {
      if (!button.offsetParent) return;
      toldBy = name;
      putTrouble("busy", say("one_moment"));
    }, SLOW_MS);
    try {
      await action();
      if (toldBy === name) putTrouble();
    } catch (error) {
      toldBy = name;
      tell(error);
    } finally {
      clearTimeout(slow);
      running = false;
    }
  };
}

/** Asks until the server answers; `waiting` is told whether it is being waited for. */
export async function insist(ask, waiting = () => {}) {
  try {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!error.offline && error.status !== 507) throw error;
        waiting(true);
        await aWhile();
      }
    }
  } finally {
    waiting(false);
  }
}

/** Some seconds, or until somebody presses or the network is back. */
function aWhile() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, RETRY_MS);
    hurry = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

/** The last net: what no step has caught is told as well, without its stack. */
export function spreadNet() {
  onPress("problem-retry", () => again?.());
  addEventListener("online", () => hurry());
  addEventListener("unhandledrejection", ({ reason }) => tell(hopeless(reason) ? reason : { code: "page" }));
  addEventListener("error", ({ filename }) => {
    if (filename?.startsWith(location.origin)) tell({ code: "page" });
  });
}
