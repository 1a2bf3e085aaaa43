// The four lights: browser, camera, microphone, network. Each says what is true and how to mend it.

import { Level } from "./level.js";
import { recordableType } from "./recorder.js";
import { find, light, say } from "./screens.js";
import { onPress } from "./steps.js";

const AUDIBLE_DB = -45;
const SLOW_MS = 800;
const ENOUGH_KBPS = 1500;
const PROBE_BYTES = 256 * 1024;
const CAMERA = {
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } },
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
};

/** Whether everything that the room is built on exists here. */
export function browserCanRecord() {
  return Boolean(
    globalThis.isSecureContext &&
      globalThis.indexedDB &&
      crypto.subtle &&
      navigator.mediaDevices?.getUserMedia &&
      navigator.locks &&
      globalThis.AudioWorkletNode &&
      recordableType(),
  );
}

export const openCamera = () => navigator.mediaDevices.getUserMedia(CAMERA);

export class Checks {
  constructor(api) {
    this.api = api;
    this.results = { browser: "fail", camera: "fail", microphone: "fail", network: "fail" };
    this.numbers = {};
    this.heard = false;
    this.loud = false;
    this.stream = null;
  }

  start() {
    onPress("retry-camera", () => this.devices());
    onPress("retry-network", () => this.network());
    onPress("play-sound", () => this.#playSound());
    onPress("heard", async () => {
      this.heard = true;
      this.unheard = false;
      this.#microphone();
    });
    onPress("not-heard", async () => {
      this.unheard = true;
      this.#microphone();
    });
    return this.run();
  }

  async run() {
    this.#set("browser", browserCanRecord() ? "ok" : "fail", browserCanRecord() ? "browser_ok" : "browser_fail");
    await Promise.all([this.devices(), this.network()]);
  }

  /** Every light is green or amber: the interview may go on. */
  get passed() {
    return Object.values(this.results).every((result) => result === "ok" || result === "warn");
  }

  #set(name, state, words, values) {
    this.results[name] = state;
    light(name, state, say(words, values));
    this.onchange?.();
  }

  async devices() {
    light("camera", "busy", say("camera_asking"));
    try {
      this.stream ??= await openCamera();
    } catch (error) {
      const [camera, microphone] = await faults(error);
      this.#set("camera", "fail", camera);
      this.#set("microphone", "fail", microphone);
      return;
    }
    const { width, height, frameRate } = this.stream.getVideoTracks()[0].getSettings();
    Object.assign(this.numbers, { width, height, frame_rate: Math.round(frameRate ?? 0) });
    find("check-picture").srcObject = this.stream;
    find("check-picture").hidden = false;
    this.#set("camera", height >= 360 ? "ok" : "warn", height >= 360 ? "camera_ok" : "camera_small", { width, height });
    await this.#listen();
  }

  async #listen() {
    light("microphone", "busy", say("microphone_speak"));
    this.level ??= await Level.watch(this.stream, (figures) => {
      find("level").value = Math.max(0, 60 + figures.level);
      if (figures.level > AUDIBLE_DB) this.loud = true;
      this.numbers.level_db = Math.round(Math.max(this.numbers.level_db ?? -100, figures.level));
      this.numbers.noise_db = Math.round(figures.noise);
      this.#microphone();
    });
    find("sound-test").hidden = false;
  }

  #microphone() {
    if (this.loud && this.heard) this.#set("microphone", "ok", "microphone_ok");
    else if (this.loud && this.unheard) this.#set("microphone", "warn", "microphone_unheard");
    else if (this.loud) this.#set("microphone", "busy", "microphone_listen");
    else this.#set("microphone", "busy", this.heard ? "microphone_silent" : "microphone_speak");
  }

  #playSound() {
    const context = new AudioContext();
    const gain = context.createGain();
    const tone = context.createOscillator();
    tone.frequency.setValueAtTime(523, context.currentTime);
    tone.frequency.setValueAtTime(659, context.currentTime + 0.35);
    gain.gain.setValueAtTime(0, context.currentTime);
    gain.gain.linearRampToValueAtTime(0.2, context.currentTime + 0.05);
    gain.gain.setValueAtTime(0.2, context.currentTime + 0.6);
    gain.gain.linearRampToValueAtTime(0, context.currentTime + 0.75);
    tone.connect(gain).connect(context.destination);
    tone.start();
    tone.stop(context.currentTime + 0.8);
    tone.onended = () => context.close();
    find("heard-buttons").hidden = false;
    return Promise.resolve();
  }

  async network() {
    light("network", "busy", say("network_measuring"));
    try {
      const times = [];
      for (let i = 0; i < 4; i += 1) {
        const start = performance.now();
        await this.api.ping();
        times.push(performance.now() - start);
      }
      const latency = Math.min(...times);
      const start = performance.now();
      await this.api.probe(randomBytes(PROBE_BYTES));
      const speed = (PROBE_BYTES * 8) / Math.max(1, performance.now() - start);
      Object.assign(this.numbers, { latency_ms: Math.round(latency), upload_kbps: Math.round(speed) });
      const good = latency < SLOW_MS && speed > ENOUGH_KBPS;
      this.#set("network", good ? "ok" : "warn", good ? "network_ok" : "network_slow", { ms: Math.round(latency) });
    } catch {
      this.#set("network", "fail", "network_fail");
    }
  }

  /** Stores the result with the attempt and stops listening; the camera stays on for what follows. */
  async finish() {
    this.level?.stop();
    this.level = null;
    find("check-picture").srcObject = null;
    await this.api.post("/check", { ...this.results, heard: this.heard, numbers: this.numbers });
  }
}

/** Bytes that no proxy can compress; the generator gives 65,536 at a time. */
function randomBytes(count) {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

const CAMERA_FAULTS = {
  NotAllowedError: "camera_denied",
  NotFoundError: "camera_missing",
  NotReadableError: "camera_busy",
  OverconstrainedError: "camera_missing",
};

/** What to say at the camera and at the microphone: they are asked for together, and one alone may be at fault. */
async function faults(error) {
  if (error.name === "NotAllowedError") {
    const [camera, microphone] = await Promise.all(["camera", "microphone"].map(permission));
    if (camera === "granted" && microphone === "denied") return ["camera_waits", "microphone_denied"];
  }
  if (error.name === "NotFoundError") {
    const kinds = (await navigator.mediaDevices.enumerateDevices()).map(({ kind }) => kind);
    if (kinds.includes("videoinput") && !kinds.includes("audioinput")) return ["camera_waits", "microphone_missing"];
  }
  return [CAMERA_FAULTS[error.name] ?? "camera_other", "microphone_waits"];
}

/** granted, denied or prompt; "" where the browser does not say. */
const permission = (name) =>
  navigator.permissions.query({ name }).then(
    ({ state }) => state,
    () => "",
  );
