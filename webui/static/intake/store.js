// What outlives the page: the browser key, openings, and sealed pieces that have not arrived yet.
// Every piece in here is ciphertext. A write counts once its strict transaction has completed.

import { openDB } from "../vendor/idb.js";
import { concat, hex, sha256 } from "./codec.js";
import { END } from "./seal.js";

const STRICT = { durability: "strict" };

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

  /** {recording, pair, page token and clocks} or undefined. */
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

  /** The server cannot use this piece: keep it out of the queue, but keep it. */
  async setAside({ opening, order, ...piece }) {
    const transaction = this.db.transaction(["chunks", "refused"], "readwrite", STRICT);
    transaction.objectStore("refused").add(piece);
    transaction.objectStore("chunks").delete(order);
    await transaction.done;
  }

  /** The server takes nothing of this piece's epoch: keep what waits of it, out of the queue. */
  async setEpochAside({ recording, track, epoch }) {
    const transaction = this.db.transaction(["chunks", "refused"], "readwrite", STRICT);
    const refused = transaction.objectStore("refused");
    for await (const cursor of transaction.objectStore("chunks").index("recording").iterate(recording)) {
      const { order, ...piece } = cursor.value;
      if (piece.track !== track || piece.epoch !== epoch) continue;
      refused.add(piece);
      cursor.delete();
    }
    await transaction.done;
  }

  /** What finish lists: for each epoch its count and the digest over its pieces' digests. */
  async listed(recording) {
    const range = IDBKeyRange.bound([recording], [recording, []]);
    const epochs = new Map();
    for (const row of await this.db.getAll("digests", range)) {
      const name = `${row.track}/${row.epoch}`;
      const known = epochs.get(name) ?? { track: row.track, epoch: row.epoch, chunks: 0, digests: [] };
      known.digests.push(row.digest);
      if (row.flag !== END) known.chunks += 1;
      epochs.set(name, known);
    }
    const list = [];
    for (const { track, epoch, chunks, digests } of epochs.values()) {
      list.push({ track, epoch, chunks, digest: hex(await sha256(concat(...digests))) });
    }
    return list;
  }

  /** After the receipt: only the browser key and the token stay, so that consent can be withdrawn. */
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
