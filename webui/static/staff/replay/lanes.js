// The sealed timeline document as lanes of questions, marks and events.

const SHOWN = ["tab_hidden", "offline", "reload", "typed", "screen_started", "screen_ended", "tab_visible", "online"];

/** @param timeline {events: [{at_ms, kind, …}]} or null; @param questions [{ordinal, text}] as put to the candidate */
export function lanesOf(timeline, questions, words) {
  const events = timeline?.events ?? [];
  const named = (ordinal) => questions.find((q) => q.ordinal === ordinal)?.text ?? "";
  const spans = new Map();
  const marks = [];
  const others = [];
  for (const event of events) {
    const at = event.at_ms;
    const ordinal = event.question ?? event.ordinal;
    if (event.kind === "answer_started" || (event.kind === "question_shown" && !spans.has(ordinal))) {
      const span = spans.get(ordinal) ?? { kind: "question", label: `${ordinal}. ${named(ordinal)}`, name: String(ordinal), ordinal };
      spans.set(ordinal, { ...span, start: at, end: span.end ?? at });
    } else if (event.kind === "answer_ended") {
      if (spans.has(ordinal)) spans.get(ordinal).end = at;
    } else if (event.kind === "mark") {
      marks.push({ start: at, kind: "mark", label: event.text || words.mark });
    } else if (SHOWN.includes(event.kind)) {
      others.push({ start: at, kind: `event ${event.kind}`, label: words.events[event.kind] ?? event.kind });
    }
  }
  const ordered = [...spans.values()].sort((a, b) => a.start - b.start);
  return { questions: ordered, marks, events: others };
}
