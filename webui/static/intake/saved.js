// How much is saved, in words, on every screen that has a chip for it.

import { putSaved as put, say, timeOfDay } from "./screens.js";

// A piece that is on its way for a moment only is not worth a word.
const SETTLED_MS = 1500;
let settled = 0;

/** `state` is the uploader's. */
export function saySaved({ waiting, offlineSince, trouble, faults, problem }) {
  clearTimeout(settled);
  if (problem) {
    put("stop", say("saved_refused"));
  } else if (trouble) {
    put("warn", say("saved_trouble"));
  } else if (offlineSince !== null) {
    put("warn", say("saved_offline", { time: timeOfDay(offlineSince), n: waiting }));
  } else if (waiting === 0) {
    if (faults) put("warn", say("saved_aside"));
    else put("safe", say("saved"));
  } else {
    settled = setTimeout(() => put("busy", say("saved_uploading", { n: waiting })), SETTLED_MS);
    if (document.documentElement.dataset.at === "finishing") put("busy", say("saved_uploading", { n: waiting }));
  }
}
