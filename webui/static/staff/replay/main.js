// The replay page: puts the parts together. Server-rendered, usable as plain video before this runs.

import { clock } from "./clock.js";
import { Evidence } from "./evidence.js";
import { install as installKeys } from "./keys.js";
import { lanesOf } from "./lanes.js";
import { Player } from "./player.js";
import { Recovery } from "./recovery.js";
import { installTabs } from "./tabs.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";
import { Watched } from "./watched.js";
import { Wave } from "./wave.js";

const page = document.querySelector("main.replay");
const facts = JSON.parse(document.getElementById("replay-facts").textContent);
const { words } = facts;

const player = new Player([...page.querySelectorAll("video[data-start]")], facts.duration_ms);
const wave = new Wave(page.querySelector("canvas.wave"), player);
const timeline = new Timeline(page.querySelector(".lanes"), player, words);
const transcript = new Transcript(document.getElementById("panel-transcript"), player, words);
const evidence = new Evidence(document.getElementById("panel-evidence"), words);
const watched = new Watched(player, facts.watched_url);
const help = document.getElementById("key-help");
let questions = [];

installTabs(page.querySelector("[role=tablist]"));
installKeys({ player, transcript, questions: () => questions, help });
page.dataset.ready = "true";

// ---- the clock under the picture
const nowBox = page.querySelector(".now");
const toggle = page.querySelector("button[name=toggle]");
const rate = page.querySelector("select[name=rate]");
const missing = page.querySelector(".missing");
player.addEventListener("tick", () => {
  nowBox.textContent = clock(player.now);
  const gap = facts.gaps.find(([start, end]) => start <= player.now && player.now < end);
  const label = gap ? (words.gaps[gap[2]] ?? words.gap) : "";
  if (missing.textContent !== label) missing.textContent = label;
});
for (const name of ["play", "pause", "ended"]) {
  player.addEventListener(name, () => (toggle.textContent = player.leader.paused ? words.play : words.pause));
}
toggle.addEventListener("click", () => player.toggle());
rate.addEventListener("change", () => (player.rate = Number(rate.value)));
for (const button of page.querySelectorAll("button[data-skip]")) {
  button.addEventListener("click", () => player.seek(player.now + Number(button.dataset.skip) * 1000));
}
page.querySelector("button[name=help]").addEventListener("click", () => help.showModal());
for (const close of help.querySelectorAll("[data-close]")) close.addEventListener("click", () => help.close());

document.querySelector(".side").addEventListener("click", (event) => {
  const jump = event.target.closest("button[data-at]");
  if (jump) player.seek(Number(jump.dataset.at));
});

// ---- what can go wrong while watching
const notice = page.querySelector(".notice");
function say(kind) {
  for (const banner of notice.children) banner.hidden = banner.dataset.when !== kind;
}
const recovery = new Recovery(player);
for (const kind of ["held", "refused"]) {
  recovery.addEventListener(kind, ({ detail }) => {
    notice.querySelector(`[data-when=${kind}] .reason`).textContent = detail;
    say(kind);
  });
}
recovery.addEventListener("damaged", () => say("media"));
recovery.addEventListener("offline", () => say("offline"));
recovery.addEventListener("back", () => {
  say(null);
  gapsAnew();
  if (page.querySelector("[data-state=failed]")) showDocuments();
});
player.addEventListener("playing", () => say(null));
watched.addEventListener("kept", ({ detail }) => detail.locked && recovery.hold());
for (const source of [recovery, watched]) {
  source.addEventListener("over", () => {
    for (const video of player.videos) video.pause();
    say("over");
  });
}
// A view that is closed takes no more seconds, so what is still here goes first.
const closing = document.querySelector("form[action$='/close']");
closing.addEventListener("submit", async (event) => {
  event.preventDefault();
  watched.mark();
  await Promise.race([watched.report(), new Promise((resolve) => setTimeout(resolve, 2000))]);
  closing.submit();
});
watched.addEventListener("waiting", () => say("offline"));
watched.addEventListener("kept", () => {
  if (notice.querySelector("[data-when=offline]:not([hidden])")) say(null);
});

// ---- the sealed documents beside the picture
async function read(name) {
  const response = await fetch(facts.documents_url.replace("NAME", name), { headers: { Accept: "application/json" } });
  if (response.status === 404) return null;
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.message ?? words.failed);
  }
  return response.json();
}

async function panel(box, work) {
  if (!facts.documents_expected) {
    box.dataset.state = "absent";
    return;
  }
  box.dataset.state = "loading";
  try {
    await work();
  } catch (problem) {
    box.dataset.state = "failed";
    box.querySelector(".reason").textContent = problem.message;
  }
}

const gaps = facts.gaps.map(([from, to]) => [from, to]);

async function showTimeline() {
  const document_ = await read("timeline").catch(() => null);
  const lanes = lanesOf(document_, facts.questions, facts.duration_ms, words);
  questions = lanes.questions;
  timeline.lane("questions", lanes.questions);
  timeline.lane("marks", lanes.marks);
  timeline.lane("events", lanes.events);
  timeline.lane("gaps", facts.gaps.map(([start, end, reason]) => ({ start, end, kind: "gap", label: words.gaps[reason] ?? words.gap })), { focusable: false });
}

// What a repair left out meanwhile is among the gaps of the page as it is served now.
async function gapsAnew() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const served = new DOMParser().parseFromString(await response.text(), "text/html");
  const now = JSON.parse(served.getElementById("replay-facts")?.textContent ?? "null");
  if (!now || JSON.stringify(now.gaps) === JSON.stringify(facts.gaps)) return;
  facts.gaps = now.gaps;
  for (const part of ["#panel-details .content", "#status"]) {
    const [old, fresh] = [page.querySelector(part), served.querySelector(part)];
    if (old && fresh) old.replaceWith(fresh);
  }
  showTimeline();
}

async function showDocuments() {
  const said = panel(transcript.root, async () => {
    const found = await read("transcript");
    if (!found) transcript.root.dataset.state = "absent";
    else transcript.show(found.segments, facts.questions);
  });
  const seen = panel(evidence.root, async () => {
    const [signals, report] = await Promise.all([read("signals"), read("report")]);
    if (!signals) {
      evidence.root.dataset.state = "absent";
      return;
    }
    const list = signals.signals;
    evidence.show(list, report);
    const named = (kind) => words.signals[kind] ?? kind;
    const spans = (kinds) => list.filter((s) => kinds.includes(s.kind));
    timeline.lane(
      "speech",
      spans(["speech_activity"]).map((s) => ({ start: s.start_ms, end: s.end_ms, kind: "speech", label: named(s.kind) })),
      { focusable: false },
    );
    timeline.lane(
      "signals",
      spans(["pause", "clipping"]).map((s) => ({ start: s.start_ms, end: s.end_ms, kind: s.kind, label: named(s.kind) })),
      { focusable: false }, // the same places are buttons of full size under "Evidence"
    );
  });
  const box = page.querySelector(".wavebox");
  const heard = panel(box, async () => {
    const peaks = await read("peaks");
    box.dataset.state = peaks ? "ready" : "absent";
    if (peaks) wave.show(peaks, gaps);
  });
  await Promise.all([said, seen, heard]);
}

showTimeline();
showDocuments();

// The state of the analysis is a fragment that htmx refreshes; when it is done, its documents are read.
document.body.addEventListener("htmx:afterSettle", (event) => {
  const state = event.target.closest?.("[data-analysis]")?.dataset.analysis;
  if (state === "done" && !facts.documents_expected) {
    facts.documents_expected = true;
    showDocuments();
  }
});
