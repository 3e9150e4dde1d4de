// Random numbers that a seed settles, so that an address gives the same run on every machine.
(function (hl) {
  class Random {
    constructor(seed) {
      this.state = seed >>> 0;
    }

    /** A number in [0, 1): mulberry32, a 32-bit counter whose bits are mixed. */
    uniform() {
      this.state = (this.state + 0x6d2b79f5) >>> 0;
      let bits = this.state;
      bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
      bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
      return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
    }

    between(low, high) {
      return low + (high - low) * this.uniform();
    }

    /** From N(0, 1), by Box and Muller's transform. */
    normal() {
      return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
    }

    /** So many whole numbers from 0 to `below` - 1, each drawn anew. */
    integers(below, count) {
      return Array.from({ length: count }, () => Math.floor(this.uniform() * below));
    }

    /** The numbers from 0 to `length` - 1 in a random order. */
    permutation(length) {
      const order = Array.from({ length }, (_, i) => i);
      for (let i = length - 1; i > 0; i--) {
        const j = Math.floor(this.uniform() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      return order;
    }
  }

  Object.assign(hl, { Random });
})((globalThis.hyperlearn ??= {}));
