// One track: MediaRecorder slices, numbered and sealed as they come, committed in order.

import { SealedEpoch } from "./seal.js";

const SLICE_MS = 2000;
const KEY_FRAME_MS = 2000;
// The opening must be committed before start() and hold the moment of start(): so the start is an appointment.
const LEAD_MS = 150;
const RETRY_COMMIT_MS = 2000;
const COMMIT_TRIES = 5;

const VIDEO_TYPES = [
  "video/webm;codecs=vp8,opus",
  "video/webm;codecs=vp9,opus",
  "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
  "video/mp4",
  "video/webm",
];

/** The first type that this browser records, or "" when it records none. */
export function recordableType() {
  if (typeof MediaRecorder === "undefined") return "";
  return VIDEO_TYPES.find((type) => MediaRecorder.isTypeSupported(type)) ?? "";
}

/** Which type a recorder really makes when it is asked for `type`: known only once it has started. */
async function reportedType(stream, type) {
  const probe = new MediaRecorder(stream, { mimeType: type });
  await new Promise((resolve, reject) => {
    probe.onstart = resolve;
    probe.onerror = (event) => reject(event.error ?? new Error("recorder"));
    probe.start();
  });
  const reported = probe.mimeType || type;
  await new Promise((resolve) => {
    probe.onstop = resolve;
    probe.stop();
  });
  return reported;
}

/**
 * Commits sealed pieces of one epoch in their order; a failed write repeats the same ciphertext.
 * A piece that cannot be sealed or written is lost alone: it leaves a gap, and the next ones are committed.
 */
export class Committer {
  #tail = Promise.resolve();

  /** `room` has {store, packet, uploader, onStorage, onLost}; `retryMs` is the wait between two writes. */
  constructor(room, retryMs = RETRY_COMMIT_MS) {
    Object.assign(this, { room, retryMs });
  }

  /** `sealing` is the promise of a piece. Resolves, and never rejects, once everything up to it is settled. */
  add(sealing) {
    sealing.catch(() => {}); // it is looked at below, when its turn has come
    this.#tail = this.#tail.then(async () => {
      try {
        await this.#commit(await sealing);
      } catch (error) {
        this.room.onLost(error);
      }
    });
    return this.#tail;
  }

  /** Resolves once everything added so far is committed. */
  idle() {
    return this.#tail;
  }

  /** A full disk may be freed, so that is waited for; anything else is tried a few times. */
  async #commit(piece) {
    const { store, packet, uploader, onStorage } = this.room;
    for (let tries = 1; ; tries += 1) {
      try {
        await store.commit(packet.recording, piece);
        break;
      } catch (error) {
        onStorage(error, tries);
        if (error.name !== "QuotaExceededError" && tries >= COMMIT_TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, this.retryMs));
      }
    }
    onStorage(null, 0);
    uploader.kick();
  }
}

export class TrackRecorder {
  /** `room` has {packet, dayKey, pair, page, store, uploader, onStorage, onLost}; `bits`: the video's a second. */
  constructor(room, track, stream, bits) {
    Object.assign(this, { room, track, stream, bits });
    this.epoch = null;
    this.recorder = null;
    this.startedAt = 0;
  }

  /** Resolves with the moment of the start in performance.now() ms. */
  async start() {
    const type = recordableType();
    const mime = await reportedType(this.stream, type);
    const recorder = new MediaRecorder(this.stream, {
      mimeType: type,
      videoBitsPerSecond: this.bits,
      audioBitsPerSecond: 64000,
      videoKeyFrameIntervalDuration: KEY_FRAME_MS,
    });
    this.startedAt = await this.#openEpoch(mime);
    this.committer = new Committer(this.room);
    recorder.ondataavailable = (event) => this.#take(event.data);
    recorder.onerror = () => this.onended?.();
    this.stopped = new Promise((resolve) => {
      recorder.onstop = resolve;
    });
    for (const media of this.stream.getTracks()) media.addEventListener("ended", () => this.onended?.());
    recorder.start(SLICE_MS);
    this.recorder = recorder;
    return this.startedAt;
  }

  /** Makes the opening for a start in the near future, commits it, and returns at that moment. */
  async #openEpoch(mime) {
    const { packet, dayKey, pair, page, store } = this.room;
    for (let lead = LEAD_MS; ; lead *= 2) {
      const monotonic = performance.now() + lead;
      const clock = { page, monotonic, wall: Date.now() + lead };
      const epoch = await SealedEpoch.open({ packet, dayKey, pair, track: this.track, mime, clock });
      await store.saveEpoch(packet.recording, epoch);
      const left = monotonic - performance.now();
      if (left < 0 && lead < 4000) continue;
      this.epoch = epoch;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
      return monotonic;
    }
  }

  /** The number is taken here, synchronously; the blob is read once and dropped. */
  #take(blob) {
    if (blob.size === 0) return;
    const { epoch } = this;
    const n = epoch.take();
    this.committer.add(blob.arrayBuffer().then((data) => epoch.seal(n, new Uint8Array(data))));
  }

  /** Stops, and resolves once the last piece and the end record are committed. */
  async stop() {
    const { recorder, epoch } = this;
    if (!recorder) return;
    this.recorder = null;
    this.onended = null;
    // It has stopped by itself when all of its media ended; the last slice comes before that event.
    if (recorder.state !== "inactive") recorder.stop();
    await this.stopped;
    const [monotonic, wall] = [performance.now(), Date.now()];
    await this.committer.idle(); // the last slice is still being read and sealed
    await this.committer.add(epoch.end(monotonic, wall));
  }
}
