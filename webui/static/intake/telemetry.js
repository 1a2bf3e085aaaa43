// Live figures at small cost: frames a second, brightness and contrast of a tiny copy, the microphone's level.

import { Level } from "./level.js";

const WIDTH = 64;
const HEIGHT = 36;
const LOOK_MS = 2000;
const BEAT_MS = 10000;
const FIRST_BEAT_MS = 2500;

export class Telemetry {
  #frames = 0;
  #since = performance.now();
  #running = true;

  /** `video` shows the camera; `send(numbers)` posts a heartbeat; `more()` gives further numbers. */
  constructor(video, stream, send, more) {
    Object.assign(this, { video, stream, send, more });
    this.figures = {};
  }

  async start() {
    this.#count();
    this.looking = setInterval(() => this.#look(), LOOK_MS);
    this.beating = setInterval(() => this.#beat(), BEAT_MS);
    this.beatingFirst = setTimeout(() => this.#beat(), FIRST_BEAT_MS);
    this.level = await Level.watch(this.stream, (level) => {
      this.figures.level_db = Math.round(level.level * 10) / 10;
      this.figures.noise_db = Math.round(level.noise * 10) / 10;
      this.figures.snr_db = Math.round(level.snr * 10) / 10;
    }).catch(() => null);
  }

  stop() {
    this.#running = false;
    clearInterval(this.looking);
    clearInterval(this.beating);
    clearTimeout(this.beatingFirst);
    this.level?.stop();
  }

  #count() {
    if (!this.#running || !this.video.requestVideoFrameCallback) return;
    this.video.requestVideoFrameCallback(() => {
      this.#frames += 1;
      this.#count();
    });
  }

  #look() {
    const now = performance.now();
    // A hidden picture paints no frames, so nothing is said about them then.
    if (!document.hidden && this.video.offsetParent !== null && this.video.requestVideoFrameCallback) {
      this.figures.fps = Math.round((this.#frames * 10000) / (now - this.#since)) / 10;
    }
    this.#frames = 0;
    this.#since = now;
    if (this.video.readyState < 2) return;
    this.canvas ??= new OffscreenCanvas(WIDTH, HEIGHT);
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.video, 0, 0, WIDTH, HEIGHT);
    const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < data.length; i += 4) {
      const brightness = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
      sum += brightness;
      squares += brightness * brightness;
    }
    const mean = sum / (WIDTH * HEIGHT);
    this.figures.brightness = Math.round(mean);
    this.figures.contrast = Math.round(Math.sqrt(Math.max(0, squares / (WIDTH * HEIGHT) - mean * mean)));
  }

  #beat() {
    this.send({ ...this.figures, ...this.more() }).catch(() => {});
  }
}
