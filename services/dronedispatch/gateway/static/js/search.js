// Search beyond what this page knows: by id or its beginning, by drone, by status and by time, asked of the system page by page.

import * as api from "./api.js";
import { $, setText } from "./dom.js";
import { LAST_MOMENT, clock, count, momentOf } from "./format.js";

const WHOLE = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const BEGINNING = /^[0-7][0-9A-HJKMNP-TV-Z]{3,24}$/;
const DRONE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,55}$/;
const PAGE = 100;

// The query that `text` means. Pure: {id} for a whole id, {query}, or {why} when nothing can be asked.
export function meaning(text, { status, from, to, isDrone }) {
  const upper = text.toUpperCase();
  if (WHOLE.test(upper)) return { id: upper };
  const query = new URLSearchParams();
  if (text && (isDrone(text) || (DRONE.test(text) && !BEGINNING.test(upper)))) query.set("drone", text);
  else if (BEGINNING.test(upper)) query.set("id_prefix", upper);
  else if (text) return { why: `“${text}” is neither an id, nor its beginning (4 letters or more), nor a drone.` };
  if (status) query.set("status", status);
  if (from) query.set("created_from", momentOf(from));
  if (to) query.set("created_to", momentOf(to));
  if (![...query].length) return { why: "Type an id, its beginning or a drone, choose a status, or give a time." };
  return { query };
}

export class Search {
  // `hands`: {onChoose, onFound(deliveries), onSpan(), status(), isDrone(id)}.
  constructor(root, input, hands) {
    this.root = root;
    this.input = input;
    this.hands = hands;
    this.answer = $("[data-part=answer]", root);
    this.more = $("[data-part=more]", root);
    this.from = $("[name=from]", root);
    this.to = $("[name=to]", root);
    root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
    });
    this.more.addEventListener("click", () => this.goOn());
    for (const field of [input, this.from, this.to]) field.addEventListener("input", () => this.forget());
    for (const field of [this.from, this.to]) field.max = LAST_MOMENT;
    root.addEventListener("input", () => hands.onSpan());
    $("details", root).addEventListener("toggle", () => hands.onSpan());
    this.round = 0;
  }

  // Whether `delivery` was ordered in the time that is given; null: no time is.
  get within() {
    const [from, to] = [this.from, this.to].map((field) => momentOf(field.value));
    if (!$("details", this.root).open || !(from || to)) return null;
    return ({ created_at: at }) => !(from && Date.parse(at) < Date.parse(from)) && !(to && Date.parse(at) > Date.parse(to));
  }

  clear() {
    this.from.value = this.to.value = "";
    this.forget();
  }

  // What was found is an answer to what was asked: when that is typed anew, it says nothing any more.
  forget() {
    this.round += 1;
    this.more.hidden = true;
    setText(this.answer, "");
  }

  begin() {
    const asked = meaning(this.input.value.trim(), { status: this.hands.status(), from: this.from.value, to: this.to.value, isDrone: this.hands.isDrone });
    this.more.hidden = true;
    if (asked.why) setText(this.answer, asked.why);
    else if (asked.id) {
      setText(this.answer, "");
      this.hands.onChoose({ kind: "delivery", id: asked.id });
    } else {
      asked.query.set("limit", PAGE);
      this.query = asked.query;
      this.query.delete("after");
      this.found = 0;
      this.goOn();
    }
  }

  async goOn() {
    const round = (this.round += 1);
    setText(this.answer, "Searching…");
    try {
      const page = await api.deliveries(this.query);
      if (round !== this.round) return;
      this.found += page.deliveries.length;
      this.hands.onFound(page.deliveries);
      if (page.next) this.query.set("after", page.next);
      this.more.hidden = !page.next;
      const down = page.next ? ` down to ${clock(timeOf(page.next))}; there may be more` : "";
      setText(this.answer, this.found ? `${count(this.found)} found in the system${down}.` : page.next ? `None found${down}.` : "No order in the system is like that.");
    } catch (refused) {
      if (round === this.round) setText(this.answer, `Not searched: ${refused.message}`);
    }
  }
}

// The moment that a ULID was made at: its first ten letters.
export function timeOf(id) {
  let ms = 0;
  for (const letter of id.slice(0, 10)) ms = ms * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".indexOf(letter);
  return new Date(ms).toISOString();
}
