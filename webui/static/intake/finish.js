// The end of an interview: what waits is sent, the list of it is signed, and the server answers with a receipt.

import { signStatement } from "./seal.js";
import { insist } from "./steps.js";

// The signed list does not fit what the server holds.
const UNPROVEN = new Set(["chunks_missing", "bad_digest", "finished_differently"]);

/** Signs `values` as a statement of this type about the attempt. */
export function signed(room, type, values) {
  const { packet, pair } = room;
  const about = { type, version: 1, recording: packet.recording, generation: packet.generation };
  return signStatement(pair, { ...about, ...values, at: new Date().toISOString() });
}

/**
 * Delivers everything and resolves with the receipt. One tab at a time: the next one finds the receipt. Null when
 * this browser has begun anew with a fresh link, so that this is not the end.
 * `room` is {api, store, uploader, packet, pair, attempt}. The attempt keeps whether a limit was met (`limited`)
 * and whether anything recorded is missing from what the receipt is for (`short`).
 */
export function deliver(room) {
  return navigator.locks.request(`fupan-finish-${room.packet.recording}`, async () => {
    const { api, store, uploader, attempt, packet } = room;
    const before = await store.attempt(packet.recording);
    if (before?.receipt) {
      Object.assign(attempt, before);
      return before.receipt;
    }
    uploader.take();
    await uploader.drained().catch((error) => {
      throw Object.assign(error, { code: error.message });
    });
    // Begun anew in another tab meanwhile: the interview goes on there, and what was sent here belongs to it.
    if ((await store.attempt(packet.recording)).token !== attempt.token) return null;
    attempt.limited ||= Boolean(uploader.state.limit);
    attempt.short ||= await store.hasAside(packet.recording);
    if (!attempt.finish) await signList(room);
    if (attempt.question) await insist(() => api.post(`/questions/${attempt.question}/close`));
    attempt.receipt = await deliverList(room);
    await store.saveAttempt(attempt);
    await store.forget(packet.recording);
    await api.forget();
    return attempt.receipt;
  });
}

/** Signs the list of what was recorded; with `tracks`, of that part of it which the server holds. */
async function signList(room, tracks) {
  const epochs = await room.store.listed(room.packet.recording, tracks);
  if (epochs.length === 0) throw Object.assign(new Error("nothing to list"), { code: "chunks_missing" });
  room.attempt.finish = await signed(room, "finish", { epochs });
  await room.store.saveAttempt(room.attempt);
}

/** Posts the signed list for its receipt. A refused list is dropped; once, what can be proven is signed anew. */
async function deliverList(room) {
  const { api, store, attempt } = room;
  for (let again = false; ; again = true) {
    try {
      return (await insist(() => api.post("/finish", attempt.finish))).receipt;
    } catch (error) {
      if (!UNPROVEN.has(error.code)) throw error;
      delete attempt.finish;
      await store.saveAttempt(attempt);
      const state = again ? { offline: true } : await api.state();
      if (state.receipt) return state.receipt;
      if (state.offline) throw error;
      attempt.short = true;
      await signList(room, state.tracks);
    }
  }
}
