// What outlives the page: the browser key, openings, and sealed pieces that have not arrived yet.
// Every piece in here is ciphertext. A write counts once its strict transaction has completed.

import { openDB } from "../vendor/idb.js";
import { concat, hex, sha256 } from "./codec.js";
import { END } from "./seal.js";

const STRICT = { durability: "strict" };

/**
 * For each epoch its count and the digest over its pieces' digests, up to its last unbroken piece.
 * `rows` are {track, epoch, n, flag, digest} in order; `tracks`, if given, is what the server's state holds.
 */
export async function provable(rows, tracks) {
  const epochs = new Map();
  for (const row of rows) {
    const name = `${row.track}/${row.epoch}`;
    epochs.set(name, [...(epochs.get(name) ?? []), row]);
  }
  const list = [];
  for (const pieces of epochs.values()) {
    const { track, epoch } = pieces[0];
    const there = tracks ? (tracks[track]?.[epoch] ?? { have: [], end: false }) : null;
    const holds = (n) => there.have.some(([first, last]) => first <= n && n <= last);
    const arrived = ({ n, flag }) => !there || (flag === END ? there.end : holds(n));
    const broken = pieces.findIndex((piece, place) => piece.n !== place || !arrived(piece));
    const run = broken < 0 ? pieces : pieces.slice(0, broken);
    if (run.length === 0) continue;
    let chunks = run.length;
    // The digest takes in the piece numbered `chunks`: the end record, or another piece than ours in its place.
    if (run.at(-1).flag === END || (there && (holds(chunks) || there.end))) chunks -= 1;
    list.push({ track, epoch, chunks, digest: hex(await sha256(concat(...run.map((row) => row.digest)))) });
  }
  return list;
}

export class Store {
  static async open() {
    const db = await openDB("fupan-intake", 1, {
      upgrade(fresh) {
        fresh.createObjectStore("attempts", { keyPath: "recording" });
        fresh.createObjectStore("epochs", { keyPath: ["recording", "track", "epoch"] });
        fresh.createObjectStore("refused", { autoIncrement: true });
        fresh.createObjectStore("digests", { keyPath: ["recording", "track", "epoch", "n"] });
        const chunks = fresh.createObjectStore("chunks", { keyPath: "order", autoIncrement: true });
        chunks.createIndex("recording", "recording");
      },
    });
    return new Store(db);
  }

  constructor(db) {
    this.db = db;
  }

  /** Undefined, or {recording, pair, token} and what has become of it under that token: `consent`; `startedAt`,
   * `question`, `phase` and `phaseSince` (ms since 1970); `finishing`, why recording has ended; `limited` and `short`,
   * as `deliver` says; `finish`, the signed list; `receipt`. */
  attempt(recording) {
    return this.db.get("attempts", recording);
  }

  async saveAttempt(attempt) {
    const transaction = this.db.transaction("attempts", "readwrite", STRICT);
    transaction.store.put(attempt);
    await transaction.done;
  }

  async saveEpoch(recording, sealed) {
    const transaction = this.db.transaction("epochs", "readwrite", STRICT);
    transaction.store.put({
      recording,
      track: sealed.track,
      epoch: sealed.id,
      opening: sealed.opening,
    });
    await transaction.done;
  }

  /** Commits one sealed piece and its digest together. */
  async commit(recording, piece) {
    const transaction = this.db.transaction(["chunks", "digests"], "readwrite", STRICT);
    const { track, epoch, n, flag, digest } = piece;
    transaction.objectStore("chunks").add({ recording, ...piece });
    transaction.objectStore("digests").put({ recording, track, epoch, n, flag, digest });
    await transaction.done;
  }

  /** The piece that was committed first and has not arrived, with its opening; undefined when none waits. */
  async oldest(recording) {
    const piece = await this.db.getFromIndex("chunks", "recording", recording);
    if (!piece) return undefined;
    const { opening } = await this.db.get("epochs", [recording, piece.track, piece.epoch]);
    return { ...piece, opening };
  }

  waiting(recording) {
    return this.db.countFromIndex("chunks", "recording", recording);
  }

  /** The server has it: forget the ciphertext, keep the digest for the final list. */
  arrived(piece) {
    return this.db.delete("chunks", piece.order);
  }

  /** The server cannot use this piece: keep it, out of the queue and out of the final list. */
  async setAside({ opening, order, ...piece }) {
    const { recording, track, epoch, n } = piece;
    const transaction = this.db.transaction(["chunks", "refused", "digests"], "readwrite", STRICT);
    transaction.objectStore("refused").add(piece);
    transaction.objectStore("chunks").delete(order);
    transaction.objectStore("digests").delete([recording, track, epoch, n]);
    await transaction.done;
  }

  /** The server takes nothing of this piece's epoch, or nothing from piece `from` on: keep what waits of that,
   * out of the queue and out of the final list. */
  async setEpochAside({ recording, track, epoch }, from = 0) {
    const transaction = this.db.transaction(["chunks", "refused", "digests"], "readwrite", STRICT);
    transaction.objectStore("digests").delete(
      IDBKeyRange.bound([recording, track, epoch, from], [recording, track, epoch, []]),
    );
    const refused = transaction.objectStore("refused");
    for await (const cursor of transaction.objectStore("chunks").index("recording").iterate(recording)) {
      const { order, ...piece } = cursor.value;
      if (piece.track !== track || piece.epoch !== epoch || piece.n < from) continue;
      refused.add(piece);
      cursor.delete();
    }
    await transaction.done;
  }

  /** Whether anything of this recording was set aside. */
  async hasAside(recording) {
    for await (const { value } of this.db.transaction("refused").store.iterate()) {
      if (value.recording === recording) return true;
    }
    return false;
  }

  /** What finish lists; `tracks` as in `provable`. */
  async listed(recording, tracks) {
    const range = IDBKeyRange.bound([recording], [recording, []]);
    return provable(await this.db.getAll("digests", range), tracks);
  }

  /** After the receipt: the attempt stays, so that consent can be withdrawn, and so does what was set aside, still
   * encrypted: the candidate has been told that this browser keeps it. */
  async forget(recording) {
    const transaction = this.db.transaction(["chunks", "digests", "epochs"], "readwrite");
    const range = IDBKeyRange.bound([recording], [recording, []]);
    transaction.objectStore("digests").delete(range);
    transaction.objectStore("epochs").delete(range);
    for await (const cursor of transaction.objectStore("chunks").index("recording").iterate(recording)) {
      cursor.delete();
    }
    await transaction.done;
  }
}
