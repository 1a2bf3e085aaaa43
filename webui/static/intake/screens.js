// Showing one screen at a time, and saying things in words.

let strings = {};

export const setStrings = (given) => {
  strings = given;
};

/** A text by name with {fields} filled in. */
export function say(name, values = {}) {
  const text = strings[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, field) => values[field] ?? "");
}

export const find = (name) => document.getElementById(name);

/** Shows one screen and moves the focus to its heading, so that a screen reader starts there. */
export function show(name) {
  for (const section of document.querySelectorAll("[data-screen]")) {
    section.hidden = section.dataset.screen !== name;
  }
  document.documentElement.dataset.at = name;
  putTrouble();
  const heading = document.querySelector(`[data-screen="${name}"] h1`);
  heading?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Says something to screen readers without moving the focus. */
export function announce(text) {
  find("announce").textContent = text;
}

/** 65 → 1:05. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** A wall time of today as 14:02. */
export function timeOfDay(milliseconds) {
  const at = new Date(milliseconds);
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}

/** A moment as people write it in the page's language. */
export function moment(timestamp) {
  const locale = document.documentElement.lang.startsWith("zh") ? "zh-CN" : "en-GB";
  return new Date(timestamp).toLocaleString(locale, { dateStyle: "long", timeStyle: "short" });
}

/** Says something beside the buttons of whichever screen is shown; nothing, without words. */
export function putTrouble(state, ...words) {
  for (const slot of document.querySelectorAll("[data-trouble]")) {
    slot.hidden = words.length === 0;
    slot.className = `banner ${state}`;
    slot.replaceChildren(
      ...words.map((text, place) => {
        const part = document.createElement(place === 0 && words.length > 1 ? "strong" : "span");
        part.textContent = text;
        return part;
      }),
    );
  }
}

/** Says on every screen how much is saved; `state` is safe, busy, warn or stop. */
export function putSaved(state, words) {
  for (const chip of document.querySelectorAll("[data-saved]")) {
    if (chip.textContent === words) continue;
    chip.className = `chip ${state}`;
    chip.textContent = words;
  }
}

/** A light of the check: ok, warn, fail or busy, with its words. */
export function light(name, state, words) {
  const row = find(`light-${name}`);
  row.dataset.state = state;
  row.querySelector("[data-words]").textContent = words;
  const fix = row.querySelector("[data-fix]");
  // A fix may be meant for one state only.
  if (fix) fix.hidden = !(fix.dataset.fix || "fail warn").split(" ").includes(state);
}
