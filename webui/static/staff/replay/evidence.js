// Signals, quality and the report's statements: every figure is a button to the seconds that carry it.

import { clock } from "./clock.js";

// No more digits than the measurement carries, by unit; two where none is named.
const DIGITS = { fps: 1, per_second: 1, faces: 0, index: 0, db: 0, dB: 0, dbfs: 0, characters_per_minute: 0, words_per_minute: 0 };
const SOFT = 20; // the sharpness below which the report calls a picture not sharp

// A report names at most five spans for a statement: the longest or the lowest of these signals.
const LASTING = 1000; // ms; a shorter sight of a second face is no finding
const CHOSEN = {
  speech_share: ["longest", ({ kind }) => kind === "speech_activity"],
  pauses: ["longest", ({ kind }) => kind === "pause"],
  face_share: ["longest", ({ kind }) => kind === "face_present"],
  face_absent: ["longest", ({ kind, value }) => kind === "face_count" && value === 0],
  several_faces: ["longest", (signal) => signal.kind === "face_count" && signal.value > 1 && signal.end_ms - signal.start_ms >= LASTING],
  picture_slow: ["lowest", ({ kind }) => kind === "fps"],
  picture_soft: ["lowest", ({ kind }) => kind === "sharpness"],
  sound_noisy: ["lowest", ({ kind }) => kind === "snr"],
  sound_quiet: ["lowest", ({ kind }) => kind === "level"],
  sound_clipped: ["longest", ({ kind }) => kind === "clipping"],
};

export class Evidence {
  constructor(root, words) {
    this.root = root;
    this.words = words;
  }

  /** @param signals [{kind, start_ms, end_ms, value, unit, confidence}]; @param report {statements} or null */
  show(signals, report) {
    const groups = new Map();
    for (const signal of signals) {
      if (!groups.has(signal.kind)) groups.set(signal.kind, []);
      groups.get(signal.kind).push(signal);
    }
    const parts = [];
    const statements = report?.statements ?? [];
    if (statements.length) parts.push(this.statements(statements, signals));
    for (const [kind, items] of groups) parts.push(this.group(kind, items));
    this.root.querySelector(".list").replaceChildren(...parts);
    this.root.dataset.state = parts.length ? "ready" : "empty";
  }

  statements(statements, signals) {
    const list = document.createElement("ul");
    list.className = "plain statements";
    for (const statement of statements) {
      const item = document.createElement("li");
      const text = document.createElement("p");
      text.textContent = this.sentence(statement);
      item.append(text);
      for (const [from, to, quote] of statement.evidence ?? []) item.append(this.jump(from, to, quote));
      item.append(...this.leftOut(statement, signals));
      list.append(item);
    }
    return list;
  }

  /** How many spans there are besides those named, as a list of one or no element. */
  leftOut({ text, evidence = [] }, signals) {
    if (!CHOSEN[text] || !evidence.length) return [];
    const [which, fits] = CHOSEN[text];
    const all = signals.filter(fits).length;
    if (all <= evidence.length) return [];
    const note = document.createElement("small");
    note.className = "quiet";
    note.textContent = this.words[which].replace("{k}", evidence.length).replace("{n}", all);
    return [note];
  }

  sentence({ text, params }) {
    const pattern = this.words.statements[text] ?? text;
    return pattern.replace(/\{(\w+)\}/g, (whole, name) => this.figure(params?.[name] ?? whole));
  }

  group(kind, items) {
    const box = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = this.words.signals[kind] ?? kind;
    const count = document.createElement("span");
    count.className = "count";
    count.textContent = items.length;
    summary.append(" ", count);
    const list = document.createElement("ul");
    list.className = "plain jumps";
    for (const signal of items) {
      const item = document.createElement("li");
      item.append(this.jump(signal.start_ms, signal.end_ms, this.value(signal)));
      list.append(item);
    }
    box.append(summary, list);
    return box;
  }

  value({ kind, value, unit, confidence }) {
    const figure = typeof value === "boolean" ? this.words[value ? "yes" : "no"] : this.figure(value, DIGITS[unit]);
    const named = unit === "faces" && figure === "1" ? "face" : unit;
    const said = unit === "share" ? this.percent(value) : [figure, this.words.units[named] ?? unit].filter(Boolean).join(" ");
    const judged = kind === "sharpness" ? this.words[value < SOFT ? "soft" : "sharp"] : "";
    return [said, judged, this.sure(confidence)].filter(Boolean).join(" · ");
  }

  /** How sure the model was, in words: its own figure says more than it knows. */
  sure(confidence) {
    if (confidence === undefined || confidence === null) return "";
    return this.words.sure[confidence >= 0.8 ? "high" : confidence >= 0.5 ? "middle" : "low"];
  }

  percent(share) {
    return this.words.percent.replace("{n}", Math.round(share * 100));
  }

  figure(value, digits = 2) {
    return typeof value === "number" ? String(Number(value.toFixed(digits))) : String(value ?? "");
  }

  jump(from, to, text) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain jump";
    button.dataset.at = from;
    const span = document.createElement("span");
    span.className = "number";
    span.textContent = to > from ? `${clock(from)}–${clock(to)}` : clock(from);
    button.append(span, " ", text ?? "");
    return button;
  }
}
