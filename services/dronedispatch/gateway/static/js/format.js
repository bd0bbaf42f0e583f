// Values as people read them.

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

export const clock = (moment) => (moment ? new Date(moment).toISOString().slice(11, 19) : "–");
export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
export const place = (pos) => (pos ? `${pos.lat.toFixed(4)}, ${pos.lon.toFixed(4)}` : "–");
export const count = (n) => n.toLocaleString("en-US");
// the random end of a ULID: its beginning is the time and the same for neighbours
export const shortId = (id) => `…${id.slice(-7)}`;
