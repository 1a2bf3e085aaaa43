// A trial recording that never leaves this page: recorded, shown once, dropped.

import { recordableType } from "./recorder.js";
import { find, say } from "./screens.js";
import { onPress } from "./steps.js";

const TRIAL_MS = 5000;

export function startTrial(stream) {
  const live = find("trial-live");
  const replay = find("trial-replay");
  live.srcObject = stream;
  onPress("trial-record", async () => {
    replay.hidden = true;
    live.hidden = false;
    if (replay.src) URL.revokeObjectURL(replay.src);
    find("trial-words").textContent = say("trial_recording");
    const blob = await record(stream);
    if (!live.srcObject) return; // gone on meanwhile: nothing may play into the interview
    replay.src = URL.createObjectURL(blob);
    live.hidden = true;
    replay.hidden = false;
    find("trial-words").textContent = say("trial_done");
    await replay.play().catch(() => {});
  });
}

async function record(stream) {
  const recorder = new MediaRecorder(stream, { mimeType: recordableType() });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const stopped = new Promise((resolve) => {
    recorder.onstop = resolve;
  });
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, TRIAL_MS));
  recorder.stop();
  await stopped;
  return new Blob(parts, { type: recorder.mimeType });
}

export function endTrial() {
  const replay = find("trial-replay");
  if (replay.src) URL.revokeObjectURL(replay.src);
  replay.removeAttribute("src");
  find("trial-live").srcObject = null;
}
