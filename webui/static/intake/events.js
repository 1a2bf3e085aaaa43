// The events track: marks, typed answers and the timeline, sealed like media.

import { canonical, utf8 } from "./codec.js";
import { Committer } from "./recorder.js";
import { EVENTS_MIME, SealedEpoch } from "./seal.js";

const GATHER_MS = 300;

export class EventsTrack {
  #gathered = [];
  #timer = 0;
  #opening = null;
  #ended = false;

  /** `room` as for TrackRecorder. */
  constructor(room) {
    this.room = room;
    this.committer = new Committer(room);
  }

  /** Notes that something happened now, or at `t` (performance.now() ms). */
  note(kind, details = {}, t = performance.now()) {
    if (this.#ended) return;
    const wall = Date.now() - (performance.now() - t);
    this.#gathered.push({ t, wall, kind, ...details });
    if (!this.#timer) this.#timer = setTimeout(() => this.flush().catch(this.room.onLost), GATHER_MS);
  }

  /** Resolves once everything noted so far is committed. An epoch that could not be opened is tried again. */
  async flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });
    const epoch = await this.#opening;
    if (this.#gathered.length === 0) return;
    const events = this.#gathered.splice(0);
    const n = epoch.take();
    await this.committer.add(epoch.seal(n, utf8(canonical(events))));
  }

  async #open() {
    const { packet, dayKey, pair, page, store } = this.room;
    const clock = { page, monotonic: performance.now(), wall: Date.now() };
    const epoch = await SealedEpoch.open({ packet, dayKey, pair, track: "events", mime: EVENTS_MIME, clock });
    await store.saveEpoch(packet.recording, epoch);
    return epoch;
  }

  /** Ends the track; what is noted afterwards belongs to no recording. Stopping twice is stopping once. */
  async stop() {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#opening && this.#gathered.length === 0) return;
    await this.flush();
    const epoch = await this.#opening;
    await this.committer.add(epoch.end(performance.now(), Date.now()));
  }
}
