// Which seconds were really played: measured here, kept by the server beside the view's access record.

import { merged } from "./clock.js";

const EVERY = 10_000; // ms between reports; each also renews the view's lease
const JOIN = 100; // ms between two spans that nobody would call a pause: a decoder's hiccup
const JUMP = 1_500; // a step larger than this at normal speed is a seek, not playing

export class Watched extends EventTarget {
  constructor(player, url) {
    super();
    this.player = player;
    this.url = url;
    this.waiting = [];
    this.last = null;
    player.addEventListener("tick", () => this.mark());
    for (const name of ["seeking", "pause", "ended", "waiting"]) player.addEventListener(name, () => (this.last = null));
    player.addEventListener("playing", () => (this.last = player.now));
    this.timer = setInterval(() => this.report(), EVERY);
    addEventListener("pagehide", () => this.report(true));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.report(true);
    });
  }

  mark() {
    const { player } = this;
    if (!player.playing) {
      if (this.last !== null && player.now > this.last && player.now - this.last < JUMP) this.add(this.last, player.now);
      this.last = null;
      return;
    }
    const now = player.now;
    if (this.last !== null && now > this.last && now - this.last < JUMP * Math.max(1, player.rate)) this.add(this.last, now);
    this.last = now;
  }

  add(from, to) {
    const newest = this.waiting[this.waiting.length - 1];
    if (newest && from <= newest[1] + 1 && to >= newest[1]) newest[1] = to;
    else this.waiting.push([from, to]);
  }

  async report(leaving = false) {
    const ranges = merged(this.waiting, JOIN).map(([a, b]) => [Math.round(a), Math.round(b)]);
    if (leaving && !ranges.length) return;
    if (!leaving && document.visibilityState === "hidden" && !this.player.playing && !ranges.length) return;
    this.waiting = [];
    const body = JSON.stringify({ ranges });
    if (leaving) {
      navigator.sendBeacon(this.url, new Blob([body], { type: "application/json" }));
      return;
    }
    try {
      const response = await fetch(this.url, { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true });
      if (response.ok) this.dispatchEvent(new CustomEvent("kept", { detail: await response.json() }));
      else if (response.status < 500) this.end();
      else this.keep(ranges);
    } catch {
      this.keep(ranges);
    }
  }

  keep(ranges) {
    this.waiting.unshift(...ranges);
    this.dispatchEvent(new Event("waiting"));
  }

  end() {
    clearInterval(this.timer);
    this.dispatchEvent(new Event("over"));
  }
}
