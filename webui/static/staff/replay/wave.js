// The waveform, drawn from peaks that the server made; nothing is decoded here.

export class Wave {
  constructor(canvas, player) {
    this.canvas = canvas;
    this.player = player;
    this.peaks = null;
    this.gaps = [];
    this.drawn = -1;
    new ResizeObserver(() => this.draw(true)).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(true));
    player.addEventListener("tick", () => this.draw());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.seek(event);
    });
  }

  /** @param peaks {start_ms, rate_hz, peaks: [min, max, min, max …] from −128 to 127} */
  show(peaks, gaps) {
    this.peaks = peaks;
    this.gaps = gaps;
    this.draw(true);
  }

  seek(event) {
    const box = this.canvas.getBoundingClientRect();
    this.player.seek(((event.clientX - box.left) / box.width) * this.player.duration);
  }

  draw(always = false) {
    const { canvas, player } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    const head = Math.round((player.now / player.duration) * width);
    if (!width || (!always && head === this.drawn)) return;
    this.drawn = head;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const colours = getComputedStyle(canvas);
    const colour = (name) => colours.getPropertyValue(name).trim();
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = colour("--line");
    pen.fillRect(0, height / 2, width, 1);
    for (const [from, to] of this.gaps) {
      pen.fillStyle = colour("--amber-wash");
      pen.fillRect((from / player.duration) * width, 0, Math.max(2, ((to - from) / player.duration) * width), height);
    }
    if (this.peaks) this.columns(pen, width, height, head, colour("--accent"), colour("--edge"));
    pen.fillStyle = colour("--ink");
    pen.fillRect(head, 0, Math.max(1, scale), height);
  }

  columns(pen, width, height, head, played, ahead) {
    const { peaks, rate_hz: rate, start_ms: start = 0 } = this.peaks;
    const pairs = peaks.length / 2;
    const perColumn = (this.player.duration / 1000) * (rate / width);
    const first = (start / 1000) * rate;
    for (let x = 0; x < width; x++) {
      const from = Math.floor(x * perColumn - first);
      const to = Math.max(from + 1, Math.floor((x + 1) * perColumn - first));
      let low = 0;
      let high = 0;
      for (let i = Math.max(0, from); i < Math.min(pairs, to); i++) {
        low = Math.min(low, peaks[2 * i]);
        high = Math.max(high, peaks[2 * i + 1]);
      }
      pen.fillStyle = x <= head ? played : ahead;
      const top = height / 2 - (high / 128) * (height / 2);
      pen.fillRect(x, top, 1, Math.max(1, ((high - low) / 128) * (height / 2)));
    }
  }
}
