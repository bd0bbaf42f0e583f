// What this page has seen of the batteries: a sample now and then of each drone, the oldest go.

const EVERY_MS = 5000;
const KEPT = 60;

export class BatteryLog {
  constructor() {
    this.samples = new Map(); // id -> [ms, percent, ms, percent, ...]
  }

  // `list`: drones as the stream tells them; `now`: ms.
  note(list, now) {
    for (const drone of list) {
      let kept = this.samples.get(drone.id);
      if (!kept) this.samples.set(drone.id, (kept = []));
      // The newest is always there: a drone that stands still is told once, and not again.
      if (kept.length > 2 && now - kept[kept.length - 4] < EVERY_MS) kept.splice(-2);
      kept.push(now, drone.battery_pct);
      if (kept.length > 2 * KEPT) kept.splice(0, 2);
    }
  }

  // As the points of a polyline, 60 wide and 20 high; empty with less than two samples.
  points(id) {
    const kept = this.samples.get(id) || [];
    if (kept.length < 4) return "";
    const [from, to] = [kept[0], kept[kept.length - 2]];
    const points = [];
    for (let at = 0; at < kept.length; at += 2) points.push(`${((60 * (kept[at] - from)) / (to - from)).toFixed(1)},${(20 - kept[at + 1] / 5).toFixed(1)}`);
    return points.join(" ");
  }

  // How long it has been watched, in seconds.
  span(id) {
    const kept = this.samples.get(id) || [];
    return kept.length < 4 ? 0 : (kept[kept.length - 2] - kept[0]) / 1000;
  }
}
