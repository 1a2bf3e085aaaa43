// How loud the microphone is: level, noise floor and signal-to-noise, all in decibels.

const WINDOW = 500; // 10 s of 20-ms energies
const decibels = (energy) => 10 * Math.log10(energy + 1e-10);

export class Level {
  #history = [];

  /** `onLevel` gets {level, peak, noise, snr, clipped} five times a second. */
  static async watch(stream, onLevel) {
    const level = new Level();
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./meter.js", import.meta.url));
    const node = new AudioWorkletNode(context, "fupan-meter", { numberOfOutputs: 0 });
    const source = context.createMediaStreamSource(stream);
    source.connect(node);
    node.port.onmessage = ({ data }) => onLevel(level.#figures(data));
    level.stop = () => {
      node.port.onmessage = null;
      source.disconnect();
      return context.close();
    };
    if (context.state === "suspended") context.resume().catch(() => {});
    return level;
  }

  #figures({ energies, peak, clipped }) {
    this.#history.push(...energies);
    this.#history.splice(0, Math.max(0, this.#history.length - WINDOW));
    const sorted = [...this.#history].sort((a, b) => a - b);
    const at = (share) => decibels(sorted[Math.floor(share * (sorted.length - 1))]);
    const mean = energies.reduce((sum, energy) => sum + energy, 0) / energies.length;
    return {
      level: decibels(mean),
      peak: 20 * Math.log10(peak + 1e-5),
      noise: at(0.1),
      snr: at(0.9) - at(0.1),
      clipped,
    };
  }
}
