// Lanes under the player: questions, marks, speech, signals, events and gaps on the recording's clock.

import { clock } from "./clock.js";

export class Timeline {
  constructor(root, player, words) {
    this.root = root;
    this.player = player;
    this.words = words;
    this.head = root.querySelector(".head");
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
    const lane = this.root.querySelector(`[data-lane="${id}"]`);
    lane.hidden = items.length === 0;
    const track = lane.querySelector(".track");
    track.replaceChildren(...items.map((item) => this.item(item, focusable)));
  }

  item({ start, end, label, kind, name }, focusable) {
    const share = (ms) => `${(ms / this.player.duration) * 100}%`;
    const point = end === undefined;
    const element = document.createElement(focusable ? "button" : "span");
    element.className = `${point ? "point" : "span"} ${kind}`;
    element.dataset.at = start;
    element.style.insetInlineStart = share(start);
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
