// The system's time of day. A browser's own clock may be minutes off, and who is late, or how old an order is, is told by the
// system's.

const NEAR_MS = 2000; // so far apart two clocks may seem by the way of the news alone
let ahead = 0; // ms, of the browser's clock

export const now = () => Date.now() + ahead;

// The system has just said what time it is.
export function told(at) {
  const apart = Date.parse(at) - Date.now();
  ahead = Math.abs(apart) < NEAR_MS ? 0 : apart;
}
