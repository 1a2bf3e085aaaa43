// The candidate's room: from the link to the receipt. This module decides which screen is due.

import { Api } from "./api.js";
import { base64, hex, sha256, utf8 } from "./codec.js";
import { Checks, browserCanRecord, openCamera } from "./checks.js";
import { Interview } from "./interview.js";
import { announce, find, moment, onPress, putSaved as put, say, setStrings, show, timeOfDay } from "./screens.js";
import { newBrowserKey, publicPoint, sign, signStatement } from "./seal.js";
import { Store } from "./store.js";
import { endTrial, startTrial } from "./trial.js";
import { Uploader } from "./upload.js";

const setup = JSON.parse(find("setup").textContent);
const page = crypto.getRandomValues(new Uint8Array(16));
const room = { page, attempt: null, packet: null, stream: null, screenStream: null };
const SETTLED_MS = 1500;
const RETRY_MS = 3000;

// Trying again cannot help: a person has to do something else first.
const HOPELESS = new Set([
  ...["bound_elsewhere", "expired", "finished", "replaced", "sealed", "superseded", "unknown_link"],
  ...["too_many_epochs", "recording_too_large"],
]);

// The signed list does not fit what the server holds.
const UNPROVEN = new Set(["chunks_missing", "bad_digest", "finished_differently"]);

setStrings(setup.strings);
room.api = new Api(setup.recording, setup.language);

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const now = () => new Date().toISOString();

/** A screen that says what happened, what was kept and what to do. */
function problem(code, retry) {
  const known = setup.strings[`problem_${code}`] ? code : "other";
  find("problem-title").textContent = say(`problem_${known}_title`);
  find("problem-words").textContent = say(`problem_${known}`, { code });
  find("problem-retry").hidden = !retry || HOPELESS.has(code);
  room.retry = retry;
  show("problem");
}

/** Runs a step; what it cannot do becomes a screen with a way on. */
async function attemptStep(step) {
  try {
    await step();
  } catch (error) {
    console.error(error);
    problem(error.code ?? "other", () => attemptStep(step));
  }
}

async function start() {
  onPress("problem-retry", () => room.retry?.());
  // The link's secret must survive a change of language.
  find("language").onclick = (event) => {
    event.currentTarget.hash = location.hash;
  };
  // Another link opened in this tab changes only the fragment.
  addEventListener("hashchange", () => {
    if (location.hash && document.documentElement.dataset.at !== "room") location.reload();
  });
  if (!browserCanRecord()) {
    problem("unsupported");
    return;
  }
  room.store = await Store.open();
  room.uploader = new Uploader(room.api, room.store);
  room.uploader.addEventListener("change", saySaved);
  room.onStorage = (error) => {
    find("storage-trouble").hidden = !error;
  };
  room.onLost = (error) => {
    console.error(error);
    find("storage-trouble").hidden = true;
    find("piece-lost").hidden = false;
  };
  keepShell();
  const attempt = await room.store.attempt(setup.recording);
  if (attempt?.token) await goOn(attempt);
  else welcome(attempt);
}

/** The service worker keeps this page, so that it opens again without a network. */
async function keepShell() {
  if (!navigator.serviceWorker) return;
  await navigator.serviceWorker.register("/i/sw.js", { scope: "/i/" });
  const ready = await navigator.serviceWorker.ready;
  ready.active.postMessage({ keep: location.pathname + location.search });
}

// --- begin --------------------------------------------------------------------------------------------------

function welcome(attempt) {
  const secret = location.hash.slice(1);
  if (!secret) {
    problem("no_secret");
    return;
  }
  show("welcome");
  onPress("begin", () => attemptStep(() => begin(attempt, secret)));
  find("begin").disabled = false;
}

async function begin(known, secret) {
  const attempt = known ?? { recording: setup.recording, pair: await newBrowserKey() };
  await room.store.saveAttempt(attempt);
  const name = hex(page);
  const message = utf8(`fupan begin v1\n${setup.recording}\n${name}`);
  const answer = await room.api.post("/begin", {
    secret,
    browser_key: base64(await publicPoint(attempt.pair)),
    page: name,
    signature: base64(await sign(attempt.pair, message)),
  });
  attempt.token = answer.token;
  delete attempt.finish;
  await room.store.saveAttempt(attempt);
  // The secret has done its work: it should not stay in the address bar or the history.
  history.replaceState(null, "", location.pathname + location.search);
  await navigator.storage?.persist?.();
  await goOn(attempt);
}

/** From what the server and this browser know to the screen that is due. */
async function goOn(attempt) {
  room.attempt = attempt;
  room.pair = attempt.pair;
  room.api.token = attempt.token;
  let state;
  try {
    state = await room.api.state();
  } catch (error) {
    if ((error.status === 403 || error.status === 404) && location.hash) {
      welcome(attempt);
      return;
    }
    problem(error.code, () => attemptStep(() => goOn(attempt)));
    return;
  }
  room.packet = state.packet;
  room.uploader.start();
  if (location.hash && state.state !== "superseded") {
    history.replaceState(null, "", location.pathname + location.search);
  }
  await attemptStep(() => enter(state));
}

async function enter(state) {
  const { attempt } = room;
  if (state.state === "superseded") {
    if (location.hash) welcome(attempt);
    else problem("superseded");
  } else if (state.receipt || state.sealed) {
    showStatus(state);
  } else if (attempt.finishing) {
    await finishUploads();
  } else if (state.state === "expired") {
    if ((await room.store.listed(setup.recording)).length) await finishUploads();
    else problem("expired");
  } else if (state.state === "recording") {
    await resume(state);
  } else {
    await check();
  }
}

// --- check, trial, rules ------------------------------------------------------------------------------------

async function check() {
  show("check");
  if (room.packet.candidate_name) find("greeting").textContent = say("greeting", { name: room.packet.candidate_name });
  const checks = new Checks(room.api);
  checks.onchange = () => {
    find("check-go").disabled = !checks.passed;
    find("check-wait").hidden = checks.passed;
  };
  onPress("check-go", () =>
    attemptStep(async () => {
      await checks.finish();
      room.stream = checks.stream;
      trial();
    }),
  );
  await checks.start();
}

function trial() {
  show("trial");
  startTrial(room.stream);
  onPress("trial-go", async () => {
    endTrial();
    rules();
  });
}

function rules() {
  show("rules");
  const record = find("tick-record");
  const ready = () => {
    find("agree").disabled = !record.checked;
  };
  record.addEventListener("change", ready);
  ready();
  onPress("agree", () => attemptStep(agree));
}

async function agree() {
  // Asked for first: a browser shows its screen picker only right after a press.
  if (setup.screen === "required" && !room.screenStream) {
    try {
      room.screenStream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 5 } });
    } catch {
      find("agree-words").textContent = say("screen_needed");
      return;
    }
  }
  const choices = { record: true };
  if (setup.analysis === "offered") choices.analysis = find("tick-analysis").checked;
  const texts = {};
  for (const purpose of Object.keys(choices)) texts[purpose] = hex(await sha256(utf8(setup.consent[purpose])));
  await post("consent", "/consent", { language: setup.language, choices, texts, at: now() });
  room.attempt.consent = choices;
  await room.store.saveAttempt(room.attempt);
  await record({ closed: 0, question: null }, false);
}

/** Signs a statement about this attempt and posts it. */
async function post(type, path, statement) {
  const whole = {
    type,
    version: 1,
    recording: setup.recording,
    generation: room.packet.generation,
    ...statement,
  };
  return room.api.post(path, await signStatement(room.pair, whole));
}

// --- recording ----------------------------------------------------------------------------------------------

async function resume(state) {
  try {
    room.stream = await openCamera();
  } catch {
    problem("camera", () => attemptStep(() => resume(state)));
    return;
  }
  await record(state, true);
}

/** Holds a named lock until released; null when another tab holds it. */
function hold(name) {
  return new Promise((resolve) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) {
        resolve(null);
        return undefined;
      }
      return new Promise((release) => resolve(release));
    });
  });
}

async function record(state, resumed) {
  const release = await hold(`fupan-record-${setup.recording}`);
  if (!release) {
    problem("other_tab", () => attemptStep(() => record(state, resumed)));
    return;
  }
  let finishing = null;
  const interview = new Interview(room, room.stream, (reason) => {
    find("deadline-words").hidden = reason !== "deadline";
    finishing ??= attemptStep(async () => {
      await leave(interview);
      release();
      await finishUploads();
    });
    return finishing;
  });
  await interview.enter(state, resumed);
  if (room.screenStream) await interview.shareScreen(room.screenStream);
}

async function leave(interview) {
  find("advance").disabled = true;
  await interview.leave();
  room.attempt.finishing = true;
  await room.store.saveAttempt(room.attempt);
}

/** Everything is recorded: send what waits, then the signed list, then show the receipt. */
async function finishUploads() {
  show("finishing");
  saySaved();
  await room.uploader.drained().catch((error) => {
    throw Object.assign(error, { code: error.message });
  });
  const { attempt, store } = room;
  if (!attempt.finish) await signList();
  if (attempt.question) await insist(`/questions/${attempt.question}/close`);
  const receipt = await deliverList();
  attempt.receipt = receipt;
  await store.saveAttempt(attempt);
  await store.forget(setup.recording);
  await room.api.forget();
  showDone(receipt);
}

/** Signs the list of what was recorded; with `tracks`, of that part of it which the server holds. */
async function signList(tracks) {
  const epochs = await room.store.listed(setup.recording, tracks);
  if (epochs.length === 0) throw Object.assign(new Error("nothing to list"), { code: "chunks_missing" });
  const { generation } = room.packet;
  const statement = { type: "finish", version: 1, recording: setup.recording, generation, epochs, at: now() };
  room.attempt.finish = await signStatement(room.pair, statement);
  await room.store.saveAttempt(room.attempt);
}

/** Posts the signed list for its receipt. A refused list is dropped; once, what can be proven is signed anew. */
async function deliverList() {
  for (let again = false; ; again = true) {
    try {
      return (await insist("/finish", room.attempt.finish)).receipt;
    } catch (error) {
      if (!UNPROVEN.has(error.code)) throw error;
      delete room.attempt.finish;
      await room.store.saveAttempt(room.attempt);
      const state = again ? { offline: true } : await room.api.state();
      if (state.receipt) return state.receipt;
      if (state.offline) throw error;
      await signList(state.tracks);
    }
  }
}

/** Posts again until the server answers. */
async function insist(path, values) {
  for (;;) {
    try {
      return await room.api.post(path, values);
    } catch (error) {
      if (!error.offline) throw error;
      await pause(RETRY_MS);
    }
  }
}

// --- saved state in words -----------------------------------------------------------------------------------

let settled = 0;

function saySaved() {
  const { waiting, offlineSince, trouble, faults, problem: refused } = room.uploader.state;
  clearTimeout(settled);
  if (refused) {
    put("stop", say("saved_refused"));
  } else if (trouble) {
    put("warn", say("saved_trouble"));
  } else if (offlineSince !== null) {
    put("warn", say("saved_offline", { time: timeOfDay(offlineSince), n: waiting }));
  } else if (waiting === 0) {
    if (faults) put("warn", say("saved_aside"));
    else put("safe", say("saved"));
  } else {
    // A piece that is on its way for a moment only is not worth a word.
    settled = setTimeout(() => put("busy", say("saved_uploading", { n: waiting })), SETTLED_MS);
    if (document.documentElement.dataset.at === "finishing") put("busy", say("saved_uploading", { n: waiting }));
  }
}

// --- done and my interview ----------------------------------------------------------------------------------

function showDone(receipt) {
  find("receipt-number").textContent = receipt.number;
  find("receipt-time").textContent = moment(receipt.at);
  find("receipt-pieces").textContent = String(receipt.chunks);
  onPress("to-status", () => attemptStep(async () => showStatus(await room.api.state())));
  show("done");
}

function showStatus(state) {
  show("status");
  find("status-state").textContent = say(state.sealed ? "status_sealed" : "status_received");
  find("status-number").textContent = state.receipt?.number ?? "–";
  const granted = state.consent?.analysis === true;
  find("status-analysis").textContent = say(granted ? "analysis_granted" : "analysis_not");
  find("withdraw").hidden = !granted;
  onPress("withdraw", () =>
    attemptStep(async () => {
      await post("withdraw", "/withdraw", { purpose: "analysis", at: now() });
      showStatus(await room.api.state());
      announce(say("withdrawn"));
    }),
  );
}

attemptStep(start);
