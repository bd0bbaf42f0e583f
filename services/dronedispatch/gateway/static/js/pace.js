// Draws soon after it is asked to, several asks in one drawing, and never for more than a tenth of the time.

const EVERY_MS = 100;
const SHARE = 10;

export class Pace {
  // `now` and `later` are the browser's clock, or a test's.
  constructor(draw, now = () => performance.now(), later = (work, ms) => setTimeout(work, ms)) {
    this.draw = draw;
    this.now = now;
    this.later = later;
    this.asked = false;
    this.next = 0;
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    this.later(() => this.turn(), Math.max(0, this.next - this.now()));
  }

  turn() {
    this.asked = false;
    const began = this.now();
    this.draw();
    this.next = began + Math.max(EVERY_MS, SHARE * (this.now() - began));
  }
}
