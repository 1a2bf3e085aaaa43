// AudioWorklet: the energy of each 20 ms, the peak and the count of clipped samples, reported once a second.

class Meter extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frameLength = Math.round(sampleRate / 50);
    this.sum = 0;
    this.count = 0;
    this.reset();
  }

  reset() {
    this.energies = [];
    this.peak = 0;
    this.clipped = 0;
  }

  process(inputs) {
    for (const sample of inputs[0][0] ?? []) {
      const size = Math.abs(sample);
      this.sum += sample * sample;
      this.count += 1;
      if (size > this.peak) this.peak = size;
      if (size > 0.98) this.clipped += 1;
      if (this.count === this.frameLength) {
        this.energies.push(this.sum / this.count);
        this.sum = 0;
        this.count = 0;
      }
    }
    if (this.energies.length >= 10) {
      this.port.postMessage({ energies: this.energies, peak: this.peak, clipped: this.clipped });
      this.reset();
    }
    return true;
  }
}

registerProcessor("fupan-meter", Meter);
