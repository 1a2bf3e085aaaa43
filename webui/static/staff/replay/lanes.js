// The sealed timeline document as lanes of questions, marks and events.

const SHOWN = ["tab_hidden", "offline", "reload", "typed", "screen_started", "screen_ended", "tab_visible", "online"];

/** @param timeline {events: [{at_ms, kind, …}], answers: [{question, shown_ms, start_ms?, end_ms?}]} or null;
 *  @param questions [{ordinal, text}] as put to the candidate; @param end the recording's length in ms */
export function lanesOf(timeline, questions, end, words) {
  const named = (ordinal) => questions.find((question) => question.ordinal === ordinal)?.text ?? "";
  const spans = (timeline?.answers ?? []).map(({ question, shown_ms: shown, start_ms: start, end_ms: over }) => ({
    start: Math.max(0, start ?? shown),
    end: over ?? end,
    kind: "question",
    label: `${question}. ${named(question)}`,
    name: String(question),
  }));
  const events = (timeline?.events ?? []).map((event) => ({ ...event, at_ms: Math.max(0, event.at_ms) }));
  const points = (kinds, look) => events.filter((event) => kinds.includes(event.kind)).map(look);
  return {
    questions: spans.sort((a, b) => a.start - b.start),
    marks: points(["mark"], (event) => ({ start: event.at_ms, kind: "mark", label: event.text || words.mark })),
    events: points(SHOWN, (event) => ({
      start: event.at_ms,
      kind: `event ${event.kind}`,
      label: words.events[event.kind] ?? event.kind,
    })),
  };
}
