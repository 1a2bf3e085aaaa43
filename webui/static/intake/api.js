// The intake API as the page sees it. A refusal carries the server's code and words; a dead network has status 0.

import { base64, concat } from "./codec.js";

const TIMEOUT_MS = 15000;
const UPLOAD_TIMEOUT_MS = 60000;
const STATE_CACHE = "fupan-state";

export class Refusal extends Error {
  constructor(status, body, retryAfter = 0) {
    super(body.message ?? "");
    this.status = status;
    this.code = body.code ?? (this.offline ? "offline" : `http_${status}`);
    this.body = body;
    this.retryAfter = retryAfter;
  }

  /** Nothing answered: the network or the server is away. */
  get offline() {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

export class Api {
  constructor(recording, language) {
    this.recording = recording;
    this.base = `/intake/recordings/${recording}`;
    this.language = language;
    this.token = "";
  }

  async #send(method, url, { body, headers = {}, timeout = TIMEOUT_MS } = {}) {
    const more = { "Accept-Language": this.language, ...headers };
    if (this.token) more.Authorization = `Fupan ${this.token}`;
    let response;
    try {
      const signal = AbortSignal.timeout(timeout);
      response = await fetch(url, { method, body, headers: more, signal, cache: "no-store", credentials: "omit" });
    } catch {
      throw new Refusal(0, {});
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refusal(response.status, answer, Number(response.headers.get("Retry-After")));
    return answer;
  }

  post(path, values = {}) {
    const headers = { "Content-Type": "application/json" };
    return this.#send("POST", this.base + path, { body: JSON.stringify(values), headers });
  }

  ping() {
    return this.#send("GET", "/intake/ping");
  }

  probe(bytes) {
    return this.#send("POST", `${this.base}/probe`, { body: bytes });
  }

  put(piece) {
    const { track, epoch, n, flag, opening, ciphertext, digest } = piece;
    return this.#send("PUT", `${this.base}/tracks/${track}/epochs/${epoch}/chunks/${n}?flag=${flag}`, {
      body: concat(opening, ciphertext),
      headers: {
        "Content-Type": "application/octet-stream",
        "Content-Digest": `sha-256=:${base64(digest)}:`,
      },
      timeout: UPLOAD_TIMEOUT_MS,
    });
  }

  /** The state, from the server or, while it is away, as it was last known ({offline: true}). */
  async state() {
    try {
      const state = await this.#send("GET", `${this.base}/state`);
      await this.remember(state);
      return state;
    } catch (error) {
      if (!error.offline) throw error;
      const kept = await caches.match(`${this.base}/state`, { cacheName: STATE_CACHE });
      if (!kept) throw error;
      return { ...(await kept.json()), offline: true };
    }
  }

  /** Keeps what a reload without a network needs: the day key and the question, nothing about the person. */
  async remember(state) {
    const kept = { ...state, packet: { ...state.packet, candidate_name: "" } };
    const cache = await caches.open(STATE_CACHE);
    await cache.put(`${this.base}/state`, new Response(JSON.stringify(kept)));
  }

  async forget() {
    const cache = await caches.open(STATE_CACHE);
    await cache.delete(`${this.base}/state`);
  }
}
