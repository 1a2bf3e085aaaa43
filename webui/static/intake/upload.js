// Sends committed pieces in order, one uploader for each attempt, and says in which state it is.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const IDLE_MS = 5000;
// The server will never take these; trying again would only repeat the refusal.
const FINAL = new Set(["sealed", "expired", "token_unknown", "token_missing", "unknown_link"]);
const unusable = (error) => error.status === 422 && error.code !== "bad_digest";
const TOO_LATE = new Set(["superseded", "late", "finished"]);
// Nothing more that is recorded in this interview would be taken.
export const LIMITS = new Set(["recording_too_large", "too_many_epochs"]);

export class Uploader extends EventTarget {
  #wake = () => {};
  #turn = null; // while this tab is the one that sends

  constructor(api, store) {
    super();
    this.api = api;
    this.store = store;
    this.state = { waiting: 0, offlineSince: null, problem: "", limit: "", trouble: false, sent: 0, faults: 0 };
    addEventListener("online", () => this.kick());
    addEventListener("offline", () => this.#offline());
  }

  /** Sends as soon as no other tab sends for this attempt. */
  start() {
    Object.assign(this.state, { problem: "", limit: "" });
    this.refresh();
    this.#request();
  }

  /**
   * Sends in this tab from now on, even if another one does so far: the tab that records or finishes has to see
   * how it goes, and a browser may hold back the tabs that nobody looks at.
   */
  take() {
    if (this.#turn) return;
    this.state.problem = "";
    this.#request({ steal: true });
  }

  async #request(options = {}) {
    const turn = {};
    try {
      await navigator.locks.request(`fupan-upload-${this.api.recording}`, options, () => this.#loop(turn));
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      // Another tab has taken over. Its turn may end before this page does.
      if (this.#turn === turn) this.#turn = null;
      this.#wake();
      this.#request();
    }
  }

  /** Something was committed, or the network may be back. */
  kick() {
    this.refresh();
    this.#wake();
  }

  /** Counts what waits. False when this browser's database does not say. */
  async refresh() {
    try {
      this.#change({ waiting: await this.store.waiting(this.api.recording) });
      return true;
    } catch (error) {
      this.#unreadable(error);
      return false;
    }
  }

  /** Resolves when nothing waits, whichever tab sent it; rejects when the server refuses for good. */
  async drained() {
    for (;;) {
      if ((await this.refresh()) && this.state.waiting === 0) return;
      if (this.state.problem) throw new Error(this.state.problem);
      await new Promise((resolve) => {
        this.addEventListener("change", resolve, { once: true });
        setTimeout(resolve, IDLE_MS); // what another tab has sent changes nothing here
      });
    }
  }

  #change(values) {
    Object.assign(this.state, values);
    this.dispatchEvent(new Event("change"));
  }

  #offline() {
    if (this.state.offlineSince === null) this.#change({ offlineSince: Date.now() });
  }

  /** The database failed, not the server: the pieces stay and the loop comes back to them. */
  #unreadable(error) {
    console.error(error);
    this.#change({ trouble: true });
  }

  async #loop(turn) {
    this.#turn = turn;
    let wait = FIRST_WAIT_MS;
    while (this.#turn === turn) {
      const outcome = await this.#step();
      if (this.#turn !== turn) return;
      if (outcome === "idle") {
        await this.#pause(IDLE_MS);
      } else if (outcome === "sent") {
        wait = FIRST_WAIT_MS;
      } else if (outcome === "stop") {
        this.#turn = null;
      } else {
        await this.#pause(Math.max(outcome * 1000, wait * (0.5 + Math.random())));
        wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      }
    }
  }

  /** "idle" when nothing waits, "sent", "stop", or the seconds to wait at least. */
  async #step() {
    try {
      const piece = await this.store.oldest(this.api.recording);
      const outcome = piece ? await this.#send(piece) : "idle";
      if (this.state.trouble) this.#change({ trouble: false });
      return outcome;
    } catch (error) {
      this.#unreadable(error);
      return 0;
    }
  }

  /** "sent", "stop", or the seconds that the server asks to wait. */
  async #send(piece) {
    try {
      await this.api.put(piece);
    } catch (error) {
      if (FINAL.has(error.code)) {
        this.#change({ problem: error.code });
        return "stop";
      }
      if (TOO_LATE.has(error.code)) {
        // Only new epochs are refused so: this one stays here, what was begun before is still taken.
        this.#change({ faults: this.state.faults + 1 });
        await this.store.setEpochAside(piece);
        return this.#sent();
      }
      if (LIMITS.has(error.code)) {
        // What came before in this epoch, and smaller pieces of others, may find their place.
        this.#change({ faults: this.state.faults + 1, limit: error.code });
        await this.store.setEpochAside(piece, error.code === "too_many_epochs" ? 0 : piece.n);
        return this.#sent();
      }
      const fault = error.code === "different_chunk" || error.code === "chunk_too_large" || unusable(error);
      if (!fault) {
        if (error.offline) this.#offline();
        else this.#change({ offlineSince: null });
        return Math.min(error.retryAfter || 0, 60);
      }
      // Sending it again would not help: it is set aside here, the server has noted it, the rest goes on.
      this.#change({ faults: this.state.faults + 1 });
      await this.store.setAside(piece);
      return this.#sent();
    }
    await this.store.arrived(piece);
    return this.#sent();
  }

  async #sent() {
    const waiting = await this.store.waiting(this.api.recording);
    this.#change({ waiting, offlineSince: null, sent: this.state.sent + 1 });
    return "sent";
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
