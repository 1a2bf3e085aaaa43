// Signals, quality and the report's statements: every figure is a button to the seconds that carry it.

import { clock } from "./clock.js";

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
    if (statements.length) parts.push(this.statements(statements));
    for (const [kind, items] of groups) parts.push(this.group(kind, items));
    this.root.querySelector(".list").replaceChildren(...parts);
    this.root.dataset.state = parts.length ? "ready" : "empty";
  }

  statements(statements) {
    const list = document.createElement("ul");
    list.className = "plain statements";
    for (const statement of statements) {
      const item = document.createElement("li");
      const text = document.createElement("p");
      text.textContent = this.sentence(statement);
      item.append(text);
      for (const [from, to, quote] of statement.evidence ?? []) item.append(this.jump(from, to, quote));
      list.append(item);
    }
    return list;
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

  value({ value, unit, confidence }) {
    const figure = typeof value === "boolean" ? this.words[value ? "yes" : "no"] : this.figure(value);
    const said = unit === "share" ? this.percent(value) : [figure, this.words.units[unit] ?? unit].filter(Boolean).join(" ");
    const sure = confidence === undefined || confidence === null ? "" : ` · ${this.words.confidence} ${this.percent(confidence)}`;
    return said + sure;
  }

  percent(share) {
    return this.words.percent.replace("{n}", Math.round(share * 100));
  }

  figure(value) {
    return typeof value === "number" ? String(Math.round(value * 100) / 100) : String(value ?? "");
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
