// The transcript: follows the player, a click seeks, "/" searches within.

import { clock } from "./clock.js";

export class Transcript {
  constructor(root, player, words) {
    this.root = root;
    this.player = player;
    this.words = words;
    this.list = root.querySelector("ol");
    this.search = root.querySelector("input[type=search]");
    this.found = root.querySelector(".found");
    this.follow = root.querySelector("input[name=follow]");
    this.segments = [];
    this.hits = [];
    this.current = -1;
    player.addEventListener("tick", () => this.highlight());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("li[data-index]");
      if (item && !String(getSelection())) player.seek(this.segments[item.dataset.index].start_ms);
    });
    for (const name of ["wheel", "touchmove"]) {
      this.list.addEventListener(name, () => (this.follow.checked = false), { passive: true });
    }
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.step(event.shiftKey ? -1 : 1);
      }
      if (event.key === "Escape") {
        this.search.value = "";
        this.find();
        this.search.blur();
      }
    });
  }

  /** @param segments [{start_ms, end_ms, text, confidence, question?}]; @param questions [{ordinal, text}] */
  show(segments, questions) {
    this.segments = segments;
    let shown = null;
    const rows = [];
    segments.forEach((segment, index) => {
      if (segment.question && segment.question !== shown) {
        shown = segment.question;
        const question = questions.find((q) => q.ordinal === shown);
        rows.push(this.heading(shown, question));
      }
      rows.push(this.row(segment, index));
    });
    this.list.replaceChildren(...rows);
    this.items = this.list.querySelectorAll("li[data-index]");
    this.root.dataset.state = segments.length ? "ready" : "empty";
    this.highlight();
  }

  heading(ordinal, question) {
    const item = document.createElement("li");
    item.className = "question";
    item.textContent = `${ordinal}. ${question ? question.text : ""}`;
    return item;
  }

  row(segment, index) {
    const item = document.createElement("li");
    item.dataset.index = index;
    const time = document.createElement("button");
    time.type = "button";
    time.className = "plain small time";
    time.textContent = clock(segment.start_ms);
    time.setAttribute("aria-label", `${this.words.play_from} ${clock(segment.start_ms)}`);
    const text = document.createElement("span");
    text.className = "text";
    text.textContent = segment.text;
    if (segment.confidence !== undefined && segment.confidence !== null && segment.confidence < 0.5) {
      item.classList.add("unsure");
      text.title = this.words.unsure;
    }
    item.append(time, text);
    return item;
  }

  /** Index of the segment being spoken, or the last one before now. */
  at(ms) {
    let low = 0;
    let high = this.segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.segments[middle].start_ms <= ms) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  highlight() {
    const index = this.at(this.player.now + 20);
    if (index === this.current || !this.items) return;
    this.items[this.current]?.removeAttribute("aria-current");
    this.current = index;
    const item = this.items[index];
    if (!item) return;
    item.setAttribute("aria-current", "true");
    if (this.follow.checked) this.reveal(item);
  }

  reveal(item) {
    const { list } = this;
    const top = item.offsetTop - list.offsetTop;
    if (top < list.scrollTop + 20 || top + item.offsetHeight > list.scrollTop + list.clientHeight - 40) {
      list.scrollTop = top - list.clientHeight / 3;
    }
  }

  /** Move to the previous or next segment. */
  neighbour(step) {
    const index = Math.min(Math.max(this.current + step, 0), this.segments.length - 1);
    if (this.segments[index]) this.player.seek(this.segments[index].start_ms);
  }

  find() {
    const wanted = this.search.value.trim().toLowerCase();
    this.hits = [];
    this.items?.forEach((item, index) => {
      const box = item.querySelector(".text");
      const text = this.segments[index].text;
      const parts = wanted ? split(text, wanted) : [];
      if (parts.length) this.hits.push(index);
      box.replaceChildren(...(parts.length ? parts : [text]));
    });
    this.hit = -1;
    this.found.textContent = wanted ? this.words.found.replace("{n}", this.hits.length) : "";
    if (this.hits.length) this.step(1, false);
  }

  step(by, seek = true) {
    if (!this.hits.length) return;
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    const index = this.hits[this.hit];
    this.found.textContent = this.words.found_at.replace("{k}", this.hit + 1).replace("{n}", this.hits.length);
    this.reveal(this.items[index]);
    if (seek) this.player.seek(this.segments[index].start_ms);
  }
}

function split(text, wanted) {
  const lower = text.toLowerCase();
  const parts = [];
  let from = 0;
  let at = lower.indexOf(wanted);
  if (at < 0) return [];
  while (at >= 0) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + wanted.length);
    parts.push(text.slice(from, at), mark);
    from = at + wanted.length;
    at = lower.indexOf(wanted, from);
  }
  parts.push(text.slice(from));
  return parts;
}
