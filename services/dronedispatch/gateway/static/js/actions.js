// What an operator can do to orders and drones: what each would do to one (said before it is done), and what takes it back.

import * as api from "./api.js";
import { clock, fieldOf, momentOf, shortId, zone } from "./format.js";

const OPEN = new Set(["pending", "assigned", "in-progress"]);
const yes = (text) => ({ may: true, text });
const no = (text) => ({ may: false, text });

// `read(id)`: {one, etag}. `preview(one, value)`: {may, text}. `act(id, value, etag)`: {one, etag}, refused with 412 if the
// record is not the one that was read. `undo(before)`: the value that takes it back, undefined when nothing does.
export const CANCEL = {
  name: "cancel",
  label: "Cancel…",
  title: "Cancel orders",
  apply: "Cancel them",
  kind: "delivery",
  danger: true,
  read: api.deliveryAndTag,
  preview: (one) => (one.status === "pending" || one.status === "assigned" ? yes(`${one.status}, will be cancelled for good`) : no(one.status === "in-progress" ? "the parcel is on board: it is delivered first" : `is ${one.status} already`)),
  act: (id, _value, etag) => api.change(id, "cancel", undefined, etag),
};

export const PRIORITY = {
  name: "priority",
  label: "Priority…",
  title: "Change the priority",
  apply: "Change the priority",
  kind: "delivery",
  field: { name: "priority", label: () => "Priority, 0 (normal) to 9 (most urgent)", type: "number", min: 0, max: 9, value: (one) => String(one.priority ?? 0), parse: (text) => (text.trim() === "" ? text : Number(text)) },
  read: api.deliveryAndTag,
  preview: (one, value) => (OPEN.has(one.status) ? yes(`${one.status}, priority ${one.priority ?? 0} → ${value}`) : no(`is ${one.status}: nothing left to hurry`)),
  act: (id, value, etag) => api.change(id, "priority", { priority: value }, etag),
  undo: (before) => before.priority ?? 0,
};

export const DEADLINE = {
  name: "deadline",
  label: "Deadline…",
  title: "Change the deadline",
  apply: "Change the deadline",
  kind: "delivery",
  field: { name: "deadline", label: () => `Delivered by, ${zone()}; empty: no deadline`, type: "datetime-local", value: (one) => fieldOf(one.deadline), parse: momentOf },
  read: api.deliveryAndTag,
  preview: (one, value) => (OPEN.has(one.status) ? yes(`${one.status}, deadline ${one.deadline ? clock(one.deadline) : "none"} → ${value ? clock(value) : "none"}`) : no(`is ${one.status} already`)),
  act: (id, value, etag) => api.change(id, "deadline", { deadline: value }, etag),
  undo: (before) => before.deadline ?? null,
};

const drone = async (id) => ({ one: await api.drone(id), etag: null });
const wish = (verb) => async (id) => {
  await api.wish(id, verb);
  return { one: null, etag: null };
};

export const OUT = {
  name: "out",
  label: "Out of service…",
  title: "Take drones out of service",
  apply: "Take them out",
  kind: "drone",
  danger: true,
  operator: true,
  read: drone,
  preview: (one) => (one.decommissioned ? no("is out of service already") : yes(one.delivery_id ? `${one.status}: finishes order ${shortId(one.delivery_id)}, then retires` : `${one.status}: retires now`)),
  act: wish("decommission"),
  undo: () => null,
  undoWith: wish("recommission"),
};

export const BACK = {
  name: "back",
  label: "Back into service…",
  title: "Bring drones back into service",
  apply: "Bring them back",
  kind: "drone",
  operator: true,
  read: drone,
  preview: (one) => (one.decommissioned ? yes(`${one.status}: takes orders again`) : no("is in service already")),
  act: wish("recommission"),
  undo: () => null,
  undoWith: wish("decommission"),
};

export const DELIVERY_ACTIONS = [PRIORITY, DEADLINE, CANCEL];
export const DRONE_ACTIONS = [OUT, BACK];

export function actionsFor(order) {
  if (!OPEN.has(order.status)) return [];
  return order.status === "in-progress" ? [PRIORITY, DEADLINE] : DELIVERY_ACTIONS;
}

export const droneActionsFor = (one) => [one.decommissioned ? BACK : OUT];
