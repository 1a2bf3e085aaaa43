// Lanes under the player: questions, marks, speech, signals, events and gaps on the recording's clock.

import { clock } from "./clock.js";

const FINGER = 24; // px a point needs for itself; closer ones are shown as one

export class Timeline {
  constructor(root, player, words) {
    this.root = root;
    this.player = player;
    this.words = words;
    this.head = root.querySelector(".head");
    this.points = new Map(); // lane → its points, laid anew when the width changes
    new ResizeObserver(() => this.points.forEach((items, id) => this.lay(id, this.gathered(items), true))).observe(root);
    player.addEventListener("tick", () => this.place());
    root.addEventListener("click", (event) => this.click(event));
  }

  place() {
    this.head.style.insetInlineStart = `${Math.min(100, (this.player.now / this.player.duration) * 100)}%`;
  }

  click(event) {
    const item = event.target.closest("[data-at]");
    if (item) return this.player.seek(Number(item.dataset.at));
    const track = event.target.closest(".track");
    if (!track) return undefined;
    const box = track.getBoundingClientRect();
    return this.player.seek(((event.clientX - box.left) / box.width) * this.player.duration);
  }

  /** @param items [{start, end?, label, kind, name?}] with times in ms; `name` is written inside a span */
  lane(id, items, { focusable = true } = {}) {
    this.root.querySelector(`[data-lane="${id}"]`).hidden = items.length === 0;
    const points = items.length > 0 && items.every((item) => item.end === undefined);
    if (points) this.points.set(id, items);
    this.lay(id, points ? this.gathered(items) : items, focusable);
  }

  lay(id, items, focusable) {
    const track = this.root.querySelector(`[data-lane="${id}"] .track`);
    track.replaceChildren(...items.map((item) => this.item(item, focusable)));
  }

  /** Points that would lie under one finger, as one point that leads to the first of them. */
  gathered(items) {
    const apart = (FINGER / Math.max(1, this.root.clientWidth)) * this.player.duration;
    const groups = [];
    for (const item of [...items].sort((a, b) => a.start - b.start)) {
      const last = groups[groups.length - 1];
      if (last && item.start - last[0].start < apart) last.push(item);
      else groups.push([item]);
    }
    const told = ({ start, label }) => `${clock(start)} ${label}`;
    return groups.map(([first, ...more]) => ({ ...first, label: [first.label, ...more.map(told)].join(" · ") }));
  }

  item({ start, end, label, kind, name }, focusable) {
    const share = (ms) => `${(ms / this.player.duration) * 100}%`;
    const point = end === undefined;
    const element = document.createElement(focusable ? "button" : "span");
    element.className = `${point ? "point" : "span"} ${kind}`;
    element.dataset.at = start;
    // What has a name keeps room for it at the end of the track; its time is still exact.
    element.style.insetInlineStart = name ? `min(${share(start)}, calc(100% - ${FINGER}px))` : share(start);
    if (!point) element.style.inlineSize = share(Math.max(end - start, this.player.duration / 400));
    const text = point ? `${clock(start)} ${label}` : `${clock(start)}–${clock(end)} ${label}`;
    element.title = text;
    if (focusable) {
      element.type = "button";
      element.setAttribute("aria-label", text);
    }
    if (name) element.textContent = name;
    return element;
  }
}
