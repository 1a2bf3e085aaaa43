// The candidate's room: from the link to the receipt. This module decides which screen is due.

import { Api } from "./api.js";
import { base64, hex, sha256, utf8 } from "./codec.js";
import { Checks, browserCanRecord, openCamera } from "./checks.js";
import { deliver, signed } from "./finish.js";
import { Interview } from "./interview.js";
import { isPartial, sayEnding, saySaved } from "./saved.js";
import { announce, find, moment, say, setStrings, show } from "./screens.js";
import { newBrowserKey, publicPoint, sign } from "./seal.js";
import { attemptStep, onPress, problem, spreadNet } from "./steps.js";
import { Store } from "./store.js";
import { endTrial, startTrial } from "./trial.js";
import { LIMITS, Uploader } from "./upload.js";

const setup = JSON.parse(find("setup").textContent);
const page = crypto.getRandomValues(new Uint8Array(16));
const LANGUAGE = "fupan-language"; // what the person chose, for every link in this browser
const room = { page, attempt: null, packet: null, dayKey: null, stream: null, screenStream: null };

setStrings(setup.strings);
room.api = new Api(setup.recording, setup.language);

async function start() {
  if (inChosenLanguage()) return;
  // The link's secret must survive a change of language.
  find("language").onclick = (event) => {
    event.currentTarget.hash = location.hash;
    keepLanguage(new URL(event.currentTarget.href).searchParams.get("lang"));
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
  room.uploader.addEventListener("change", () => saySaved(room.uploader.state));
  room.onStorage = (error) => {
    find("storage-trouble").hidden = !error;
  };
  room.onLost = (error) => {
    console.error(error);
    room.attempt.short = true;
    find("storage-trouble").hidden = true;
    find("piece-lost").hidden = false;
  };
  keepShell().catch((error) => console.error(error)); // without it only a reload without a network fails
  const attempt = await room.store.attempt(setup.recording);
  if (attempt?.token) await goOn(attempt);
  else welcome(attempt);
}

/** The mailed link names no language: it opens in the one that was chosen here before.
 * Whether the page is on its way to that. */
function inChosenLanguage() {
  if (new URLSearchParams(location.search).has("lang")) return false;
  let chosen = null;
  try {
    chosen = localStorage.getItem(LANGUAGE);
  } catch {
    return false; // this browser keeps nothing
  }
  if (!chosen || document.documentElement.lang.startsWith(chosen)) return false;
  location.replace(`?lang=${encodeURIComponent(chosen)}${location.hash}`);
  return true;
}

function keepLanguage(code) {
  try {
    localStorage.setItem(LANGUAGE, code);
  } catch {
    // This browser keeps nothing: the address still names the language.
  }
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
  onPress("begin", () => begin(attempt, secret));
  find("begin").disabled = false;
}

/** Binds this browser. Two tabs may press at once: the second goes on with what the first was given. */
async function begin(known, secret) {
  const attempt = await navigator.locks.request(`fupan-begin-${setup.recording}`, async () => {
    const kept = await room.store.attempt(setup.recording);
    if (kept?.token && kept.token !== known?.token) return kept;
    return bind(kept ?? { recording: setup.recording, pair: await newBrowserKey() }, secret);
  });
  // The secret has done its work: it should not stay in the address bar or the history.
  history.replaceState(null, "", location.pathname + location.search);
  await navigator.storage?.persist?.();
  await goOn(attempt);
}

async function bind(attempt, secret) {
  await room.store.saveAttempt(attempt);
  const name = hex(page);
  const message = utf8(`fupan begin v1\n${setup.recording}\n${name}`);
  const { token } = await room.api.post("/begin", {
    secret,
    browser_key: base64(await publicPoint(attempt.pair)),
    page: name,
    signature: base64(await sign(attempt.pair, message)),
    wall_ms: Date.now(),
  });
  // How far an earlier link has led, even to an end, ends with it: the server says which question is open.
  const { recording, pair, consent } = attempt;
  const bound = { recording, pair, consent, token };
  await room.store.saveAttempt(bound);
  return bound;
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
    problem(error.code ?? "other", () => attemptStep(() => goOn(attempt)));
    return;
  }
  room.packet = state.packet;
  room.dayKey = state.day_key ?? state.packet.day_key; // as an earlier release has remembered it
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
    if ((await room.store.listed(setup.recording)).length) {
      attempt.finishing = "deadline";
      await finishUploads();
    } else problem("expired");
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
  onPress("check-go", async () => {
    await checks.finish();
    room.stream = checks.stream;
    trial();
  });
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
  onPress("agree", agree);
}

async function agree() {
  find("agree-words").textContent = "";
  // Asked for first: a browser shows its screen picker only right after a press.
  if (setup.screen === "required" && !room.screenStream) {
    try {
      room.screenStream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 5 } });
    } catch {
      find("agree-words").textContent = say("screen_needed");
      return;
    }
  }
  const release = await hold();
  if (!release) return;
  try {
    await consent();
  } catch (error) {
    release();
    throw error;
  }
  await attemptStep(() => record({ closed: 0, question: null }, false, release));
}

async function consent() {
  const choices = { record: true };
  if (setup.analysis === "offered") choices.analysis = find("tick-analysis").checked;
  const texts = {};
  for (const purpose of Object.keys(choices)) texts[purpose] = hex(await sha256(utf8(setup.consent[purpose])));
  await room.api.post("/consent", await signed(room, "consent", { language: setup.language, choices, texts }));
  room.attempt.consent = choices;
  await room.store.saveAttempt(room.attempt);
}

// --- recording ----------------------------------------------------------------------------------------------

async function resume(state) {
  const release = await hold();
  if (!release) return;
  await attemptStep(() => reopen(state, release));
}

async function reopen(state, release) {
  room.stream = await openCamera().catch((error) => {
    throw Object.assign(error, { code: "camera" });
  });
  await record(state, true, release);
}

/** Takes the attempt for this tab; null, and the screen that is due, when another tab has it or has ended it. */
async function hold() {
  const release = await new Promise((resolve) => {
    navigator.locks.request(`fupan-record-${setup.recording}`, { ifAvailable: true }, (lock) => {
      if (!lock) {
        resolve(null);
        return undefined;
      }
      return new Promise((done) => resolve(done));
    });
  });
  if (!release) {
    stopMedia();
    // By then the other tab may have gone on, even to the end.
    problem("other_tab", () => attemptStep(async () => goOn(await room.store.attempt(setup.recording))));
    return null;
  }
  const kept = await room.store.attempt(setup.recording);
  if (!kept.finishing) return release;
  release();
  stopMedia();
  await attemptStep(() => goOn(kept));
  return null;
}

function stopMedia() {
  for (const stream of [room.stream, room.screenStream]) {
    for (const track of stream?.getTracks() ?? []) track.stop();
  }
  room.stream = room.screenStream = null;
}

async function record(state, resumed, release) {
  room.uploader.take();
  let ending = null;
  const interview = new Interview(room, room.stream, (reason) => {
    ending ??= attemptStep(() => end(interview, reason, release));
    return ending;
  });
  try {
    await interview.enter(state, resumed);
  } catch (error) {
    await interview.abandon();
    throw error;
  }
  if (room.screenStream) await interview.shareScreen(room.screenStream);
}

/** `reason` is "done", "deadline", a limit, or the code of a refusal after which nothing can be recorded here. */
async function end(interview, reason, release) {
  find("advance").disabled = true;
  await interview.leave();
  const { attempt, store } = room;
  const whole = reason === "done" || reason === "deadline" || LIMITS.has(reason);
  if (whole) attempt.finishing ||= reason;
  attempt.limited ||= LIMITS.has(reason);
  await store.saveAttempt(attempt);
  release();
  if (whole) await finishUploads();
  else await goOn(attempt);
}

/** Everything is recorded: send what waits, then the signed list, then show the receipt. */
async function finishUploads() {
  sayEnding(room.attempt);
  show("finishing");
  saySaved(room.uploader.state);
  const receipt = await deliver(room);
  if (receipt) showDone(receipt);
  else await goOn(await room.store.attempt(setup.recording));
}

// --- done and my interview ----------------------------------------------------------------------------------

function showDone(receipt) {
  sayEnding(room.attempt);
  find("receipt-number").textContent = receipt.number;
  find("receipt-time").textContent = moment(receipt.at);
  find("receipt-pieces").textContent = String(receipt.chunks);
  onPress("to-status", async () => showStatus(await room.api.state()));
  show("done");
}

function showStatus(state) {
  show("status");
  const received = isPartial(room.attempt) ? "status_partial" : "status_received";
  find("status-state").textContent = say(state.sealed ? "status_sealed" : received);
  find("status-number").textContent = state.receipt?.number ?? "–";
  const granted = state.consent?.analysis === true;
  find("status-analysis").textContent = say(granted ? "analysis_granted" : "analysis_not");
  for (const id of ["may-withdraw", "withdraw"]) find(id).hidden = !granted;
  onPress("withdraw", async () => {
    await room.api.post("/withdraw", await signed(room, "withdraw", { purpose: "analysis" }));
    // Withdrawn it is from here on, even if the server does not answer the next question.
    const consented = { ...state.consent, analysis: false };
    showStatus(await room.api.state().catch(() => ({ ...state, consent: consented })));
    announce(say("withdrawn"));
  });
}

spreadNet();
attemptStep(start);
