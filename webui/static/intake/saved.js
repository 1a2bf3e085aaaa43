// How much is saved, in words: on every screen that has a chip for it, and at the end.

import { putSaved as put, say, timeOfDay } from "./screens.js";
import { LIMITS } from "./upload.js";

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

/** Says on the last screens how the recording of an attempt ended and whether all of it was taken. */
export function sayEnding({ finishing, limited, short }) {
  const over = finishing === "deadline";
  const full = LIMITS.has(finishing);
  const partly = isPartial({ limited, short });
  const told = {
    answered: !over && !full,
    stopped: over || full,
    deadline: over,
    "too-much": full,
    complete: !partly,
    short: partly,
    limit: limited,
    aside: short && !limited,
  };
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = !told[part.dataset.when];
}

/** Whether something that was recorded here has not arrived, and never will. */
export const isPartial = ({ limited, short }) => Boolean(limited || short);
