// What an operator looks at first. Pure: the world and a moment in, the kinds of exceptions and who is one out.

const LOW_PCT = 15;
const WAIT_MIN_S = 60; // and five times what an assignment takes on average: a busy hour is no exception
const WAIT_MEANS = 5;
const OPEN = new Set(["pending", "assigned", "in-progress"]);
const AWAY = { broker_away: "broker", store_away: "store", slots_lost: "store", consul_away: "Consul", subscription_silent: "dispatcher" };

const before = (moment, now) => Boolean(moment) && Date.parse(moment) < now;
const age = (d, now) => (now - Date.parse(d.created_at)) / 1000;
// What the customer holds in his hands: the deadline, or else what was promised when he ordered.
const due = (d) => d.deadline || d.promised?.at || d.eta?.at || null;

export const isLate = (d, now) => OPEN.has(d.status) && before(due(d), now);
export const isAtRisk = (d, now) => OPEN.has(d.status) && !isLate(d, now) && Boolean(d.eta && due(d)) && Date.parse(d.eta.at) > Date.parse(due(d));
export const waitLimit = (figures) => Math.max(WAIT_MIN_S, WAIT_MEANS * (figures?.to_assign_mean_s || 0));

// `deliveries`, `drones`: as the API shows them; `figures`, `health`: null if unknown; `now`: ms since 1970.
// Each: {name, label, kind, tone, ids, about}; a system's exception has no ids and is there only while it lasts.
export function exceptions({ deliveries, drones, figures, health }, now) {
  const limit = waitLimit(figures);
  const orders = (name, label, tone, about, test) => ({ name, label, kind: "delivery", tone, about, ids: deliveries.filter(test).map((d) => d.id) });
  const fleet = (name, label, tone, about, test) => ({ name, label, kind: "drone", tone, about, ids: drones.filter(test).map((d) => d.id) });
  return [
    ...away(health),
    orders("late", "late", "failed", "Open, and past the deadline, or past what was promised", (d) => isLate(d, now)),
    orders("risk", "at risk", "pending", "Expected after the deadline, or after what was promised", (d) => isAtRisk(d, now)),
    orders("waiting", "waiting long", "pending", `Pending for more than ${Math.round(limit)} s`, (d) => d.status === "pending" && age(d, now) > limit),
    orders("failed", "failed", "failed", "Failed, of those that this page knows", (d) => d.status === "failed"),
    fleet("silent", "silent", "failed", "Nothing heard of it for three ticks or more", (d) => Boolean(d.silent)),
    fleet("low", "low battery", "failed", `Below ${LOW_PCT} % and not charging`, (d) => d.battery_pct < LOW_PCT && !d.at_charge && d.status !== "inactive"),
    fleet("queue", "queue to charge", "charging", "Waits for a place to charge", (d) => Boolean(d.queued_at)),
  ];
}

function away(health) {
  const parts = new Set((health?.reasons || []).map((reason) => AWAY[reason.kind]).filter(Boolean));
  return [...parts].map((part) => ({ name: `away-${part}`, label: `${part} away`, kind: "system", tone: "failed", about: "See the reasons", ids: [] }));
}
