// Values as people read them.

import { now } from "./now.js";

let local = remembered() === "local";

function remembered() {
  try {
    return localStorage.getItem("zone");
  } catch {
    return null; // storage is forbidden
  }
}

export const zone = () => (local ? "local" : "UTC");

// Times in the viewer's own zone, or in UTC as the API says them; remembered by this browser.
export function setLocal(wanted) {
  local = wanted;
  try {
    localStorage.setItem("zone", zone());
  } catch {
    // forbidden: it lasts as long as the page
  }
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

// What a field for a moment holds, in the zone in which all times are shown; and the moment that it means, null for none.
export function fieldOf(moment) {
  if (!moment) return "";
  const at = new Date(moment);
  return new Date(at.getTime() - (local ? 60_000 * at.getTimezoneOffset() : 0)).toISOString().slice(0, 16);
}

export function momentOf(text) {
  const at = new Date(local ? text : `${text}Z`);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

export const LAST_MOMENT = "9999-12-31T23:59"; // for a field's `max`: without it a year has six digits, and is no moment of ours

const two = (n) => String(n).padStart(2, "0");

// The time of day; with the date when it is not today's.
export function clock(moment) {
  if (!moment) return "–";
  const at = new Date(moment);
  const utc = at.toISOString();
  const day = local ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}` : utc.slice(0, 10);
  const time = local ? `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}` : utc.slice(11, 19);
  const here = new Date(now());
  const today = local ? `${here.getFullYear()}-${two(here.getMonth() + 1)}-${two(here.getDate())}` : here.toISOString().slice(0, 10);
  return day === today ? time : `${day} ${time}`;
}

// A sentence of the system with its moments as people read them.
export const moments = (text) => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)/g, (moment) => clock(moment));

export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;
export const place = (pos) => (pos ? `${pos.lat.toFixed(4)}, ${pos.lon.toFixed(4)}` : "–");
export const count = (n) => n.toLocaleString("en-US");
// the random end of a ULID: its beginning is the time and the same for neighbours
export const shortId = (id) => `…${id.slice(-7)}`;

// A share of promises that were kept, never "100 %": what was always kept so far need not be the next time.
export function kept(confidence) {
  if (confidence >= 0.995) return "more than 99 % of such promises are kept";
  return `${Math.round(confidence * 100)} % of such promises are kept`;
}

// One line of a delivery's history: where it went, why, and with whom; no word twice.
export function transition(line) {
  const cause = line.cause && line.cause !== line.to ? ` – ${moments(line.cause)}` : "";
  const drone = line.drone_id && line.to === "assigned" && !cause.includes(line.drone_id) ? ` to ${line.drone_id}` : "";
  return `${line.to}${drone}${cause}`;
}
