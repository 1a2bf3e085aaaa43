// The question room: one question after the other, recorded from start to finish.

import { openCamera } from "./checks.js";
import { EventsTrack } from "./events.js";
import { TrackRecorder } from "./recorder.js";
import { announce, clock, find, onPress, say, show } from "./screens.js";
import { Telemetry } from "./telemetry.js";

const CAMERA_BITS = 1_200_000;
const SCREEN_BITS = 1_000_000;
const TICK_MS = 250;
const RETRY_MS = 2000;
const NOTE_PAUSE_MS = 800;
const WARN_AT_SECONDS = [60, 30, 10];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Interview {
  #leaving = [];

  /** `room`: {api, store, uploader, packet, pair, page, attempt, onStorage, onLost}; `finish` ends the interview. */
  constructor(room, stream, finish) {
    Object.assign(this, { room, stream, finish });
    this.events = new EventsTrack(room);
    this.question = null;
    this.screen = null;
    this.ended = false;
  }

  /** Starts recording and shows the question that is due; `state` is what the server last said. */
  async enter(state, resumed) {
    show("room");
    this.#wire();
    await this.#record();
    const { attempt } = this.room;
    attempt.startedAt ??= Date.now();
    await this.#startTelemetry();
    if (resumed) this.#sayResumed(state);
    if (state.question) await this.#present(state.question, resumed);
    else await this.#open(state.closed + 1);
    this.ticking = setInterval(() => this.#tick(), TICK_MS);
  }

  #listen(target, kind, handler) {
    target.addEventListener(kind, handler);
    this.#leaving.push(() => target.removeEventListener(kind, handler));
  }

  #wire() {
    onPress("advance", () => this.#advance());
    onPress("mark", () => this.#mark());
    onPress("toggle-picture", () => this.#togglePicture());
    onPress("share-screen", () => this.#shareAgain());
    onPress("camera-again", () => this.#cameraAgain());
    this.#listen(document, "visibilitychange", () =>
      this.events.note(document.hidden ? "tab_hidden" : "tab_visible"),
    );
    this.#listen(globalThis, "offline", () => this.events.note("offline"));
    this.#listen(globalThis, "online", () => this.events.note("online"));
    this.#listen(document, "keydown", (event) => {
      const typing = event.target.closest?.("textarea, input, button, a, summary");
      if (event.key.toLowerCase() === "m" && !typing && !event.ctrlKey && !event.metaKey) this.#mark();
    });
    this.#listen(find("note"), "input", () => {
      clearTimeout(this.typing);
      find("note-state").textContent = say("note_typing");
      this.typing = setTimeout(() => this.#keepNote(), NOTE_PAUSE_MS);
    });
    this.#listen(find("note"), "blur", () => this.#keepNote());
  }

  // --- tracks ---------------------------------------------------------------------------------------------

  async #record() {
    find("self-view").srcObject = this.stream;
    this.camera = new TrackRecorder(this.room, "camera", this.stream, CAMERA_BITS);
    this.camera.onended = () => this.#cameraLost();
    await this.camera.start();
    find("camera-trouble").hidden = true;
  }

  async #cameraLost() {
    find("camera-trouble").hidden = false;
    announce(say("camera_lost"));
    await this.camera.stop();
  }

  async #cameraAgain() {
    for (const track of this.stream.getTracks()) track.stop();
    try {
      this.stream = await openCamera();
    } catch {
      announce(say("camera_lost"));
      return;
    }
    await this.#record();
  }

  /** Adds the screen as a second track; must follow a press of the candidate's. */
  async shareScreen(stream) {
    this.screen = new TrackRecorder(this.room, "screen", stream, SCREEN_BITS);
    this.screen.onended = () => this.#screenEnded();
    await this.screen.start();
    const surface = stream.getVideoTracks()[0].getSettings().displaySurface ?? "unknown";
    this.events.note("screen_started", { surface });
    this.#showScreenState();
  }

  async #screenEnded() {
    const { screen } = this;
    this.screen = null;
    this.events.note("screen_ended");
    this.#showScreenState();
    await screen.stop();
  }

  #showScreenState() {
    const policy = this.room.packet.policy.screen;
    find("share-screen").hidden = policy === "off" || Boolean(this.screen);
    find("screen-missing").hidden = policy !== "required" || Boolean(this.screen);
    find("screen-on").hidden = !this.screen;
  }

  async #shareAgain() {
    try {
      await this.shareScreen(await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 5 } }));
    } catch (error) {
      if (error.name !== "NotAllowedError") throw error;
      announce(say("screen_refused"));
    }
  }

  async #startTelemetry() {
    const { api, uploader } = this.room;
    this.telemetry = new Telemetry(
      find("self-view"),
      this.stream,
      (numbers) => api.post("/heartbeat", { numbers }),
      () => ({
        question: this.question?.ordinal ?? 0,
        waiting: uploader.state.waiting,
        hidden: Number(document.hidden),
        screen: Number(Boolean(this.screen)),
        elapsed_s: Math.round(this.#elapsed()),
      }),
    );
    await this.telemetry.start();
    this.#showScreenState();
  }

  // --- questions ------------------------------------------------------------------------------------------

  /** Asks until the server answers; recording goes on meanwhile. */
  async #insist(path) {
    for (;;) {
      try {
        return await this.room.api.post(path);
      } catch (error) {
        if (!error.offline && error.status !== 507) throw error;
        find("waiting-network").hidden = false;
        await pause(RETRY_MS);
      } finally {
        if (navigator.onLine) find("waiting-network").hidden = true;
      }
    }
  }

  async #open(ordinal) {
    const { question } = await this.#insist(`/questions/${ordinal}/open`);
    const { api, packet, attempt } = this.room;
    await api.remember({ state: "recording", packet, question, closed: ordinal - 1, consent: attempt.consent });
    Object.assign(attempt, { phase: question.prep_seconds ? "think" : "answer", phaseSince: Date.now() });
    await this.#present(question, false);
  }

  async #present(question, resumed) {
    const { packet, attempt, store } = this.room;
    this.question = question;
    attempt.phase ??= "think";
    attempt.phaseSince ??= Date.now();
    attempt.question = question.ordinal;
    await store.saveAttempt(attempt);
    find("question-number").textContent = say("question_of", { k: question.ordinal, n: packet.plan.length });
    find("question-text").textContent = question.text;
    find("question-hint").textContent = question.hint;
    find("question-hint").hidden = !question.hint;
    find("note").value = "";
    this.kept = "";
    find("note-state").textContent = "";
    this.warned = new Set();
    this.events.note("question_shown", { question: question.ordinal, again: resumed });
    if (attempt.phase === "answer" && !resumed) this.#noteAnswerStarted();
    this.#tick();
    find("question-text").focus({ preventScroll: true });
  }

  #noteAnswerStarted() {
    this.events.note("answer_started", { question: this.question.ordinal });
  }

  /** The one primary button: start answering, or go on. */
  async #advance() {
    const { attempt, store, packet } = this.room;
    if (attempt.phase === "think") {
      Object.assign(attempt, { phase: "answer", phaseSince: Date.now() });
      this.#noteAnswerStarted();
      this.#tick();
      await store.saveAttempt(attempt);
      return;
    }
    await this.#keepNote();
    const { ordinal } = this.question;
    this.events.note("answer_ended", { question: ordinal });
    if (ordinal === packet.plan.length) {
      await this.finish("done");
      return;
    }
    await this.#insist(`/questions/${ordinal}/close`);
    await this.#open(ordinal + 1);
  }

  #mark() {
    this.events.note("mark", { question: this.question?.ordinal ?? 0 });
    const words = say("marked", { time: clock(this.#elapsed()) });
    find("mark-state").textContent = words;
    return Promise.resolve();
  }

  async #keepNote() {
    clearTimeout(this.typing);
    const text = find("note").value;
    if (text === this.kept || !this.question) return;
    this.kept = text;
    this.events.note("typed", { question: this.question.ordinal, text });
    await this.events.flush();
    find("note-state").textContent = say("note_kept");
  }

  async #togglePicture() {
    const hidden = find("self-view").hidden;
    find("self-view").hidden = !hidden;
    find("toggle-picture").textContent = say(hidden ? "hide_picture" : "show_picture");
    find("toggle-picture").setAttribute("aria-pressed", String(!hidden));
  }

  // --- clocks ---------------------------------------------------------------------------------------------

  #elapsed() {
    return (Date.now() - (this.room.attempt.startedAt ?? Date.now())) / 1000;
  }

  #tick() {
    const { attempt, packet } = this.room;
    if (!this.question || this.ended) return;
    const passed = (Date.now() - attempt.phaseSince) / 1000;
    if (attempt.phase === "think" && passed >= this.question.prep_seconds) {
      this.#advance();
      return;
    }
    const thinking = attempt.phase === "think";
    const limit = thinking ? this.question.prep_seconds : this.question.answer_seconds;
    const last = this.question.ordinal === packet.plan.length;
    find("phase").textContent = say(thinking ? "phase_think" : passed > limit ? "phase_over" : "phase_answer");
    find("clock").textContent = thinking
      ? clock(limit - passed)
      : `${clock(Math.min(passed, limit))} / ${clock(limit)}`;
    find("clock").classList.toggle("over", !thinking && passed > limit);
    find("clock-bar").max = limit || 1;
    find("clock-bar").value = Math.min(passed, limit);
    find("elapsed").textContent = say("elapsed", { time: clock(this.#elapsed()), total: clock(this.#required()) });
    find("advance").textContent = say(thinking ? "start_answer" : last ? "finish" : "next");
    this.#warn(thinking, limit, limit - passed);
    if (Date.now() > Date.parse(packet.deadline)) this.finish("deadline");
  }

  #required() {
    const { plan, policy } = this.room.packet;
    if (policy.min_seconds) return policy.min_seconds;
    return plan.reduce((sum, each) => sum + each.prep_seconds + each.answer_seconds, 0);
  }

  /** Screen readers hear the clock at a few moments, not every second. */
  #warn(thinking, limit, left) {
    const due = WARN_AT_SECONDS.find((seconds) => seconds <= limit / 2 && left <= seconds && left > seconds - 2);
    if (due !== undefined && !this.warned.has(`${thinking}${due}`)) {
      this.warned.add(`${thinking}${due}`);
      announce(say(thinking ? "think_left" : "answer_left", { n: due }));
    }
    if (!thinking && left <= 0 && !this.warned.has("over")) {
      this.warned.add("over");
      announce(say("phase_over"));
    }
  }

  #sayResumed(state) {
    this.events.note("reload", { question: state.question?.ordinal ?? 0, offline: Boolean(state.offline) });
    find("resumed").textContent = say(state.offline ? "resumed_offline" : "resumed");
    find("resumed").hidden = false;
    announce(find("resumed").textContent);
  }

  /** Stops every track; resolves once all of it is committed in this browser. */
  async leave() {
    this.ended = true;
    clearInterval(this.ticking);
    for (const undo of this.#leaving) undo();
    this.telemetry?.stop();
    await this.#keepNote();
    await Promise.all([this.camera.stop(), this.screen?.stop()]);
    await this.events.stop();
    for (const track of this.stream.getTracks()) track.stop();
    for (const track of this.screen?.stream.getTracks() ?? []) track.stop();
    find("self-view").srcObject = null;
  }
}
