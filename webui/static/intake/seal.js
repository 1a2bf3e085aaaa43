// Sealing in the browser: browser key, openings, chunks. The format is docs/vault_format.md, to the letter.

import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "../vendor/hpke.js";
import { base64, canonical, concat, field, fromBase64, hex, sha256, utf8, uuidBytes } from "./codec.js";

const ECDSA = { name: "ECDSA", namedCurve: "P-256" };
const SIGN = { name: "ECDSA", hash: "SHA-256" };
const SUITE_NUMBER = 1;
const MAX_OPENING_BYTES = 1024;
export const DATA = 0;
export const END = 1;
export const EVENTS_MIME = "application/x-fupan-events+json";

const hpke = new CipherSuite({
  kem: new DhkemP256HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});

/** A signing key whose private half can never be read out, not even by this page. */
export const newBrowserKey = () => crypto.subtle.generateKey(ECDSA, false, ["sign", "verify"]);

/** The public half as 65 bytes. */
export async function publicPoint(pair) {
  return new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
}

/** r‖s, 64 bytes. */
export async function sign(pair, bytes) {
  return new Uint8Array(await crypto.subtle.sign(SIGN, pair.privateKey, bytes));
}

/** {statement, signature} as the API takes them. */
export async function signStatement(pair, statement) {
  const text = canonical(statement);
  return { statement: text, signature: base64(await sign(pair, utf8(text))) };
}

/** 32 bytes: page-load id, performance.now() and wall time as float64. */
function clockBytes({ page, monotonic, wall }) {
  const bytes = new Uint8Array(32);
  bytes.set(page);
  const view = new DataView(bytes.buffer);
  view.setFloat64(16, monotonic);
  view.setFloat64(24, wall);
  return bytes;
}

async function wrapFor(recipient, epochKey, info) {
  const recipientPublicKey = await hpke.kem.deserializePublicKey(fromBase64(recipient.public));
  const sender = await hpke.createSenderContext({ recipientPublicKey, info });
  const wrapped = new Uint8Array(await sender.seal(epochKey));
  return concat(field(utf8(recipient.id)), field(new Uint8Array(sender.enc)), field(wrapped));
}

/** One epoch: its opening and its key. The key lives in this object only and ends with it. */
export class SealedEpoch {
  #key;
  #next = 0;
  #ended = false;

  /**
   * Makes an epoch. `packet` gives vault and recording; `dayKey`, {id, public}, is what the link was bound with;
   * `clock` is {page, monotonic, wall} in ms.
   */
  static async open({ packet, dayKey, pair, track, mime, clock }) {
    const raw = crypto.getRandomValues(new Uint8Array(32));
    try {
      const epoch = crypto.getRandomValues(new Uint8Array(16));
      const commitment = await sha256(concat(utf8("fupan epoch key v1"), raw));
      const info = concat(
        utf8("FPO1"),
        field(new Uint8Array([SUITE_NUMBER])),
        field(uuidBytes(packet.vault)),
        field(uuidBytes(packet.recording)),
        field(utf8(track)),
        field(epoch),
        field(utf8(dayKey.id)),
        field(await publicPoint(pair)),
        field(utf8(mime)),
        field(clockBytes(clock)),
        field(commitment),
      );
      const wrapped = await wrapFor(dayKey, raw, info);
      const signed = concat(info, new Uint8Array([1]), wrapped);
      const opening = concat(signed, await sign(pair, signed));
      if (opening.length > MAX_OPENING_BYTES) throw new Error("opening too long");
      const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
      return new SealedEpoch(key, track, hex(epoch), opening, await sha256(opening));
    } finally {
      raw.fill(0);
    }
  }

  constructor(key, track, id, opening, openingDigest) {
    this.#key = key;
    this.track = track;
    this.id = id;
    this.opening = opening;
    this.openingDigest = openingDigest;
  }

  get count() {
    return this.#next;
  }

  /** Takes the next number, now. Whoever calls this encrypts exactly one piece under it. */
  take() {
    if (this.#ended) throw new Error("the epoch has ended");
    return this.#next++;
  }

  /** The sealed piece under a number that was taken. `bytes` is overwritten afterwards. */
  async seal(n, bytes) {
    return this.#encrypt(n, DATA, bytes);
  }

  /** The end record; nothing can follow it. */
  async end(monotonic, wall) {
    if (this.#ended) throw new Error("the epoch has ended");
    this.#ended = true;
    const count = this.#next;
    const sealed = await this.#encrypt(count, END, utf8(canonical({ chunks: count, clock: monotonic, wall })));
    this.#key = null;
    return sealed;
  }

  async #encrypt(n, flag, bytes) {
    const place = new Uint8Array(5);
    new DataView(place.buffer).setUint32(0, n);
    place[4] = flag;
    const algorithm = {
      name: "AES-GCM",
      iv: concat(new Uint8Array(7), place),
      additionalData: concat(this.openingDigest, place),
    };
    const ciphertext = new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#key, bytes));
    bytes.fill(0);
    const digest = await sha256(concat(this.opening, ciphertext));
    return { track: this.track, epoch: this.id, n, flag, ciphertext, digest };
  }
}
