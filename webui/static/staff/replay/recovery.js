// When the picture stops coming: asks the server why, says it, and goes on once bytes come again.

const EVERY = 3_000; // ms between questions while it does not
const AWAY = [502, 503, 504]; // without a message of ours: a proxy's word that the application is away
const SAME = 2_000; // ms: failing again this near to where it was read anew is damage and no accident

export class Recovery extends EventTarget {
  /**
   * Dispatches "held" and "refused" (detail: the server's message), "over", "offline", "damaged" and "back".
   * It goes on by itself after "held" and "offline" alone.
   */
  constructor(player) {
    super();
    this.player = player;
    this.asking = false;
    this.readAnew = null;
    player.addEventListener("error", () => this.begin());
    // A picture that could not be read at all may have failed before this was there to hear it.
    if (player.leader.error) queueMicrotask(() => this.begin());
  }

  /** The vault was locked while a player had enough in its buffer to go on: it stops all the same. */
  async hold() {
    const playing = !this.player.leader.paused;
    for (const video of this.player.videos) video.pause();
    await this.begin(playing);
  }

  async begin(playing = !this.player.leader.paused) {
    if (this.asking) return;
    this.asking = true;
    const { leader } = this.player;
    let answer = await this.ask();
    const waited = answer === "wait";
    while (answer === "wait") {
      await new Promise((resolve) => setTimeout(resolve, EVERY));
      answer = await this.ask();
    }
    this.asking = false;
    if (answer === "stop" || (!waited && !leader.error)) return;
    const at = this.player.now;
    if (!waited && this.readAnew !== null && Math.abs(at - this.readAnew) < SAME) {
      this.dispatchEvent(new Event("damaged"));
      return;
    }
    this.readAnew = at;
    this.player.reload(playing);
    if (waited) this.dispatchEvent(new Event("back"));
  }

  /** One byte of the picture: "ready" when it is given, "wait" or "stop" when not. */
  async ask() {
    let response;
    try {
      const headers = { Accept: "application/json", Range: "bytes=0-0" };
      response = await fetch(this.player.leader.currentSrc || this.player.leader.src, { headers });
      if (response.ok) {
        await response.arrayBuffer(); // a vault locked just now ends the answer before its byte
        return "ready";
      }
    } catch {
      this.dispatchEvent(new Event("offline"));
      return "wait";
    }
    if (response.status === 410) {
      this.dispatchEvent(new Event("over"));
      return "stop";
    }
    const { message } = await response.json().catch(() => ({}));
    if (message) {
      const waits = response.status === 503;
      this.dispatchEvent(new CustomEvent(waits ? "held" : "refused", { detail: message }));
      return waits ? "wait" : "stop";
    }
    const away = AWAY.includes(response.status);
    this.dispatchEvent(new Event(away ? "offline" : "damaged"));
    return away ? "wait" : "stop";
  }
}
