// One clock for all tracks: the first video leads (it has the sound), the others follow within 200 ms.

const FOLLOW_LIMIT = 0.2; // seconds of drift after which a follower is placed anew
const FOLLOW_EASE = 0.04; // below this nothing is done; between the two its rate is eased

export class Player extends EventTarget {
  /** @param videos elements with data-start (ms on the recording's clock) and data-duration (ms) */
  constructor(videos, duration) {
    super();
    this.videos = videos;
    [this.leader, ...this.followers] = videos;
    this.start = Number(this.leader.dataset.start);
    this.duration = duration;
    for (const video of this.followers) video.muted = true;
    for (const name of ["play", "playing", "pause", "seeking", "seeked", "ratechange", "ended", "waiting", "loadedmetadata"]) {
      this.leader.addEventListener(name, () => {
        this.follow();
        this.dispatchEvent(new Event(name));
      });
    }
    this.leader.addEventListener("timeupdate", () => this.tick());
    this.leader.addEventListener("error", () => this.dispatchEvent(new Event("error")));
    const frame = () => {
      if (!this.leader.paused) this.tick();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    setInterval(() => this.follow(), 250);
  }

  /** Where we are on the recording's clock, in ms. */
  get now() {
    return this.start + this.leader.currentTime * 1000;
  }

  get playing() {
    return !this.leader.paused && !this.leader.seeking && !this.leader.ended;
  }

  get rate() {
    return this.leader.playbackRate;
  }

  set rate(value) {
    this.leader.playbackRate = value;
  }

  tick() {
    this.dispatchEvent(new Event("tick"));
  }

  seek(ms) {
    const end = Number(this.leader.dataset.duration) || this.duration;
    const target = Math.min(Math.max(ms - this.start, 0), Math.max(end - 1, 0));
    this.leader.currentTime = target / 1000;
    this.follow();
    this.tick();
  }

  toggle() {
    if (this.leader.paused) this.leader.play().catch(() => this.dispatchEvent(new Event("error")));
    else this.leader.pause();
  }

  /** Reads all tracks anew and stands where it stood; after a failure the elements themselves give up. */
  reload(playing) {
    const at = this.leader.currentTime;
    this.leader.addEventListener("loadedmetadata", () => {
      this.leader.currentTime = at;
      if (playing) this.toggle();
    }, { once: true });
    for (const video of this.videos) video.load();
  }

  target(video) {
    return (this.now - Number(video.dataset.start)) / 1000;
  }

  follow() {
    for (const video of this.followers) {
      const target = this.target(video);
      const inside = target >= 0 && target * 1000 < Number(video.dataset.duration);
      video.closest("figure").classList.toggle("outside", !inside);
      if (!inside) {
        if (!video.paused) video.pause();
        continue;
      }
      const drift = video.currentTime - target;
      const limit = this.leader.paused ? FOLLOW_EASE : FOLLOW_LIMIT; // a still picture must be exact
      if (Math.abs(drift) > limit && !video.seeking) video.currentTime = target;
      const eased = this.playing && Math.abs(drift) > FOLLOW_EASE && Math.abs(drift) <= FOLLOW_LIMIT;
      video.playbackRate = eased ? this.rate * (drift > 0 ? 0.94 : 1.06) : this.rate;
      if (this.leader.paused && !video.paused) video.pause();
      if (!this.leader.paused && video.paused) video.play().catch(() => undefined);
    }
  }
}
