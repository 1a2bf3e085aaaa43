// The question room: one question after the other, recorded from start to finish.

import { openCamera } from "./checks.js";
import { EventsTrack } from "./events.js";
import { TrackRecorder } from "./recorder.js";
import { announce, clock, find, say, show } from "./screens.js";
import { hopeless, insist, onPress } from "./steps.js";
import { Telemetry } from "./telemetry.js";

const CAMERA_BITS = 1_200_000;
const SCREEN_BITS = 1_000_000;
const TICK_MS = 250;
// A press that comes just after thinking time has run out was meant to start the answer, not to end it.
const MEANT_MS = 800;
const NOTE_PAUSE_MS = 800;
const WARN_AT_SECONDS = [60, 30, 10];

export class Interview {
  #leaving = [];

  /** `room`: {api, store, uploader, packet, pair, page, attempt, onStorage, onLost}; `finish` ends the interview. */
  constructor(room, stream, finish) {
    Object.assign(this, { room, stream, finish });
    this.events = new EventsTrack(room);
    this.question = null;
    this.screen = null;
    this.ended = false;
    this.due = null; // what the primary button began and has not done yet: pressing again repeats exactly that
    this.failed = false;
    this.startedByClock = 0;
  }

  /** Starts recording and shows the question that is due; `state` is what the server last said. */
  async enter(state, resumed) {
    find("question-text").textContent = say("question_coming");
    find("advance").disabled = false;
    show("room");
    this.#wire();
    await this.#record();
    const { attempt, packet } = this.room;
    attempt.startedAt ??= Date.now();
    await this.#startTelemetry();
    if (resumed) this.#sayResumed(state);
    this.ticking = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
    if (state.question) await this.#present(state.question, resumed);
    else if (state.closed >= packet.plan.length) await this.finish("done");
    else {
      this.due = () => this.#open(state.closed + 1);
      find("advance").click(); // as if pressed: where it fails it is told, and may be pressed again
    }
  }

  #listen(target, kind, handler) {
    target.addEventListener(kind, handler);
    this.#leaving.push(() => target.removeEventListener(kind, handler));
  }

  #wire() {
    const press = (name, step) => onPress(name, () => step().catch((error) => this.#refused(error)));
    press("advance", () => this.#advance());
    press("mark", () => this.#mark());
    press("toggle-picture", () => this.#togglePicture());
    press("share-screen", () => this.#shareAgain());
    press("camera-again", () => this.#cameraAgain());
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
      this.typing = setTimeout(() => this.#keepNote().catch(this.room.onLost), NOTE_PAUSE_MS);
    });
    this.#listen(find("note"), "blur", () => this.#keepNote().catch(this.room.onLost));
  }

  /** Some refusals end the recording here; every other one is told beside the button. */
  async #refused(error) {
    if (!hopeless(error)) throw error;
    await this.finish(error.code === "expired" ? "deadline" : error.code);
  }

  // --- tracks ---------------------------------------------------------------------------------------------

  async #record() {
    find("self-view").srcObject = this.stream;
    this.camera = new TrackRecorder(this.room, "camera", this.stream, CAMERA_BITS);
    this.camera.onended = () => this.#cameraLost();
    await this.camera.start();
    find("camera-trouble").hidden = true;
    if (this.ended) await this.camera.stop();
  }

  async #cameraLost() {
    find("camera-trouble").hidden = false;
    announce(say("camera_lost"));
    await this.camera.stop();
  }

  async #cameraAgain() {
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = await openCamera().catch((error) => {
      throw Object.assign(error, { code: "camera" });
    });
    await this.#record();
    this.telemetry?.stop();
    await this.#startTelemetry();
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
  #insist(path) {
    return insist(
      () => this.room.api.post(path),
      (waiting) => {
        find("waiting-network").hidden = !waiting;
      },
    );
  }

  async #open(ordinal) {
    const { question } = await this.#insist(`/questions/${ordinal}/open`);
    const { api, packet, attempt } = this.room;
    const state = { state: "recording", packet, question, closed: ordinal - 1, consent: attempt.consent };
    await api.remember(state).catch((error) => console.error(error)); // only a reload without a network needs it
    await this.#present(question, false);
  }

  async #present(question, resumed) {
    const { packet, attempt, store } = this.room;
    this.question = question;
    const fresh = attempt.question !== question.ordinal;
    if (fresh) {
      const phase = question.prep_seconds ? "think" : "answer";
      Object.assign(attempt, { question: question.ordinal, phase, phaseSince: Date.now() });
    }
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
    if (attempt.phase === "answer" && fresh) this.#noteAnswerStarted();
    this.#tick();
    find("question-text").focus({ preventScroll: true });
  }

  #noteAnswerStarted() {
    this.events.note("answer_started", { question: this.question.ordinal });
  }

  /** The one primary button: start answering, go on, or once more what could not be done. */
  async #advance() {
    const { attempt, store } = this.room;
    if (!this.due && attempt.phase === "think") {
      this.#startAnswer();
      await store.saveAttempt(attempt);
      return;
    }
    if (!this.due) {
      if (Date.now() - this.startedByClock < MEANT_MS) return;
      const { ordinal } = this.question;
      this.events.note("answer_ended", { question: ordinal });
      this.due = () => this.#next(ordinal);
      await this.#keepNote();
    }
    try {
      await this.due();
      Object.assign(this, { due: null, failed: false });
    } catch (error) {
      this.failed = true;
      throw error;
    } finally {
      this.#tick();
    }
  }

  #startAnswer() {
    Object.assign(this.room.attempt, { phase: "answer", phaseSince: Date.now() });
    this.#noteAnswerStarted();
    this.#tick();
  }

  /** From a question whose answer is over to the next one, or to the end. Repeating it changes nothing more. */
  async #next(ordinal) {
    const { packet } = this.room;
    if (ordinal === packet.plan.length) {
      await this.finish("done");
      return;
    }
    try {
      await this.#insist(`/questions/${ordinal}/close`);
      await this.#open(ordinal + 1);
    } catch (error) {
      if (error.code !== "question_order") throw error;
      await this.#follow(error);
    }
  }

  /** The server stands at another question than this page: what it says is shown. */
  async #follow(refusal) {
    const state = await this.room.api.state();
    if (state.offline) throw refusal;
    if (state.question) await this.#present(state.question, false);
    else if (state.closed >= this.room.packet.plan.length) await this.finish("done");
    else await this.#open(state.closed + 1);
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
  }

  // --- clocks ---------------------------------------------------------------------------------------------

  #elapsed() {
    return (Date.now() - (this.room.attempt.startedAt ?? Date.now())) / 1000;
  }

  #tick() {
    const { attempt, packet, uploader } = this.room;
    if (this.ended) return;
    const over = Date.now() > Date.parse(packet.deadline) ? "deadline" : uploader.state.limit;
    if (over) {
      this.finish(over);
      return;
    }
    find("elapsed").textContent = say("elapsed", { time: clock(this.#elapsed()), total: clock(this.#required()) });
    if (!this.question) {
      find("advance").textContent = say(this.failed ? "try_again" : "start_answer");
      return;
    }
    const passed = (Date.now() - attempt.phaseSince) / 1000;
    if (attempt.phase === "think" && passed >= this.question.prep_seconds) {
      this.startedByClock = Date.now();
      this.#startAnswer();
      this.room.store.saveAttempt(attempt).catch((error) => this.room.onStorage(error, 0));
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
    const name = this.failed ? "try_again" : thinking ? "start_answer" : last ? "finish" : "next";
    find("advance").textContent = say(name);
    this.#warn(thinking, limit, limit - passed);
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

  /** Stops every track; resolves once all of it is committed in this browser. Leaving twice is leaving once. */
  leave() {
    this.left ??= this.#leave();
    return this.left;
  }

  async #leave() {
    this.ended = true;
    clearInterval(this.ticking);
    for (const undo of this.#leaving) undo();
    this.telemetry?.stop();
    await this.#keepNote().catch(this.room.onLost);
    await Promise.all([this.camera?.stop(), this.screen?.stop()]);
    await this.events.stop().catch(this.room.onLost);
    for (const track of this.stream.getTracks()) track.stop();
    for (const track of this.screen?.stream.getTracks() ?? []) track.stop();
    find("self-view").srcObject = null;
  }

  /** Recording could not begin: lets go of what it held, but keeps the camera on for another try. */
  async abandon() {
    this.ended = true;
    clearInterval(this.ticking);
    for (const undo of this.#leaving) undo();
    this.telemetry?.stop();
    await this.camera?.stop();
    await this.events.stop().catch(this.room.onLost);
  }
}
