// A no-fly area, drawn on the map or typed: what it would do is shown first, then it is stored with the version of the city that
// the preview was made with. Escape gives up; what was stored can be taken back.

import * as api from "./api.js";
import { $, h, setText } from "./dom.js";
import { shortId } from "./format.js";
import { cornersOf, refusals, textOf, touched } from "./no_fly_effect.js";
import { hashOf } from "./place.js";

const NAMED_MAX = 4; // of those that are touched; of the rest the number

export class NoFlyDrawing {
  // `hands`: {session, onCity(city, etag), onSketch()}.
  constructor(panel, button, world, hands) {
    Object.assign(this, { panel, button, world, hands, active: false });
    this.form = $("form", panel);
    const part = (name) => $(`[data-part=${name}]`, panel);
    [this.hint, this.inputs, this.effect, this.answer, this.apply, this.corner, this.undo, this.areas] = ["hint", "inputs", "effect", "answer", "apply", "corner", "undo", "areas"].map(part);
    this.title = $("h3", panel);
    button.addEventListener("click", () => (this.active ? this.close() : this.open()));
    $(".close", panel).addEventListener("click", () => this.close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.carryOut();
    });
    this.form.elements.corners.addEventListener("input", () => this.typed());
    this.corner.addEventListener("click", () => this.takeCornerBack());
    this.undo.addEventListener("click", () => this.takeBack());
    document.addEventListener("keydown", (event) => this.key(event));
    this.ring = [];
  }

  async open() {
    if (!(await this.hands.session.wanted())) return;
    this.active = true;
    this.panel.hidden = false;
    this.button.setAttribute("aria-pressed", "true");
    this.hands.onSketch();
    this.begin(null);
    this.title.focus({ preventScroll: true });
    this.panel.closest(".map").scrollIntoView({ block: matchMedia("(max-width: 820px)").matches ? "start" : "nearest" }); // a phone's sheet covers the lower half
    await this.look();
  }

  // What was drawn is gone, what was sent stays. An answer that is waited for is heard first.
  close() {
    if (!this.active || this.sending) return;
    this.active = false;
    this.panel.hidden = true;
    this.button.setAttribute("aria-pressed", "false");
    this.ring = [];
    this.world.sketch = null;
    this.hands.onSketch();
    this.button.focus();
  }

  key(event) {
    if (!this.active || event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (event.target !== document.body && !event.target.closest(".map")) return;
    event.preventDefault(); // nothing else closes with it
    this.close();
  }

  // A new area, or with `area` (a feature) the removal of that one.
  begin(area) {
    this.removing = area;
    this.before = null; // {city, etag}: the city before ours, and the version of ours
    this.ring = [];
    this.form.reset();
    this.mark([]);
    setText(this.title, area ? `Remove ${nameOf(area)}` : "New no-fly area");
    setText(this.apply, area ? "Remove it" : "Forbid flight here");
    setText(this.hint, area ? "" : "Click the map for each corner; drag a corner to move it. By keyboard: on the map arrows move it, Enter sets a corner, Backspace takes it back.");
    this.inputs.hidden = this.corner.hidden = Boolean(area);
    this.undo.hidden = true;
    this.apply.hidden = false;
    setText(this.answer, "");
    this.changed();
  }

  // The city that the preview is made with, and that is replaced only if it is still the same.
  async look() {
    try {
      this.base = await api.zones();
      this.hands.onCity(this.base.city, this.base.etag);
    } catch (refused) {
      setText(this.answer, `The city cannot be read now: ${refused.message}`);
    }
    this.draw();
  }

  add(pos) {
    if (this.removing || this.before || this.sending) return;
    this.ring = [...this.ring, pos];
    this.form.elements.corners.value = textOf(this.ring);
    this.typed();
  }

  move(at, pos) {
    this.ring = this.ring.map((corner, i) => (i === at ? pos : corner));
    this.form.elements.corners.value = textOf(this.ring);
    this.typed();
  }

  takeCornerBack() {
    this.ring = this.ring.slice(0, -1);
    this.form.elements.corners.value = textOf(this.ring);
    this.typed();
  }

  typed() {
    const { ring, wrong } = cornersOf(this.form.elements.corners.value);
    this.ring = ring;
    this.mark(wrong ? [["corners", wrong]] : []);
    setText(this.answer, "");
    this.changed();
  }

  changed() {
    this.draw();
    this.hands.onSketch();
  }

  // Also a few times a second while it is open: drones move, and somebody else may have put another city.
  draw() {
    if (!this.active) return;
    const stale = this.base && this.world.cityVersion !== this.base.etag && this.world.isOlderThan(this.base.etag) === false;
    if (stale && !this.sending && !this.before && !this.looking) {
      this.looking = true;
      this.look().finally(() => (this.looking = false));
    }
    const whole = this.ring.length >= 3 && this.base;
    const seen = { drones: [...this.world.drones.values()].map((drone) => drone.news), deliveries: [...this.world.deliveries.values()] };
    const found = whole ? touched(seen, this.ring) : null;
    this.world.sketch = { ring: this.ring, touched: found };
    this.apply.disabled = Boolean(this.sending) || !this.base || !(this.removing || whole);
    this.corner.disabled = Boolean(this.sending) || this.ring.length === 0;
    this.say(found);
    this.list();
  }

  say(found) {
    let lines = [];
    if (this.before) lines = [];
    else if (this.removing) lines = [["", "Drones may fly there as soon as it is stored. Orders that wait because of it are given out again."]];
    else if (found) lines = effects(refusals(this.base.city, this.ring), found);
    else lines = [["", `${this.ring.length} of at least 3 corners`]];
    const said = JSON.stringify(lines);
    if (said === this.said) return;
    this.said = said;
    this.effect.replaceChildren(...lines.map(([tone, text, ids = [], kind = ""]) => h("li", { class: tone }, text, ...links(ids, kind))));
  }

  list() {
    const areas = this.base ? this.base.city.features.filter((feature) => feature.properties.kind === "no_fly") : [];
    const said = JSON.stringify(areas.map((area) => [area.properties.id, area.properties.name]));
    if (said === this.listed) return;
    this.listed = said;
    setText($("summary", this.areas), `Areas now: ${areas.length}`);
    $("ul", this.areas).replaceChildren(...areas.map((area) => h("li", {}, nameOf(area), h("button", { type: "button", class: "chip", "data-remove": area.properties.id, "aria-label": `Remove ${nameOf(area)}`, onclick: () => this.sending || this.begin(area) }, "Remove…"))));
  }

  // The city as it is to be; `at`: the number of our feature in it.
  wanted() {
    const { city } = this.base;
    if (this.removing) return { ...city, features: city.features.filter((feature) => feature.properties.id !== this.removing.properties.id) };
    const ids = new Set(city.features.map((feature) => feature.properties.id));
    let number = 1;
    while (ids.has(`no-fly-${number}`)) number += 1;
    const name = this.form.elements.name.value.trim();
    const ring = [...this.ring, this.ring[0]].map(({ lat, lon }) => [lon, lat]);
    const feature = { type: "Feature", properties: { kind: "no_fly", id: `no-fly-${number}`, ...(name ? { name } : {}) }, geometry: { type: "Polygon", coordinates: [ring] } };
    return { ...city, features: [...city.features, feature] };
  }

  async carryOut() {
    if (this.apply.disabled || this.apply.hidden) return;
    const wanted = this.wanted();
    const before = this.base.city;
    if (await this.send(wanted, this.base.etag)) {
      this.before = { city: before, etag: this.base.etag };
      this.ring = [];
      this.form.elements.corners.value = "";
      this.inputs.hidden = this.corner.hidden = this.apply.hidden = true;
      this.undo.hidden = false;
      setText(this.hint, "");
      setText(this.answer, `${this.removing ? "Removed" : "Stored"}: the city has version ${this.base.etag}. Routes are planned anew from now on.`);
      this.undo.focus();
    }
    this.changed();
  }

  async takeBack() {
    if (!(await this.send(this.before.city, this.before.etag))) return;
    this.begin(null);
    setText(this.answer, "Taken back: the city is as it was.");
    this.title.focus();
  }

  // Whether the city is `wanted` now; if not, what to do is said.
  async send(wanted, etag) {
    this.sending = true;
    this.apply.disabled = this.undo.disabled = true;
    this.mark([]);
    setText(this.answer, "Sending…");
    try {
      this.base = await api.replaceZones(wanted, etag);
    } catch (refused) {
      if (!(await this.settled(wanted, etag, refused))) return false;
    } finally {
      this.sending = false;
      this.undo.disabled = false;
    }
    this.hands.onCity(this.base.city, this.base.etag);
    return true;
  }

  // After an answer that says no, or none: what became of it.
  async settled(wanted, etag, refused) {
    const { status } = refused.problem;
    if (status === 401) this.hands.session.ended();
    if (status === undefined || status >= 500 || status === 412) {
      await this.look(); // without an answer the city itself says whether it was replaced
      if (this.base.etag !== etag && JSON.stringify(this.base.city) === JSON.stringify(wanted)) return true;
    }
    if (status === 412) setText(this.answer, "Nothing was stored: the city has changed since this preview. Look again, then confirm.");
    else if (status === undefined || status >= 500) setText(this.answer, `Not stored so far, and it may still be: ${refused.message} Look again in a moment.`);
    else if (status === 401) setText(this.answer, "Nothing was stored: the session has ended. Sign in, then confirm again.");
    else this.refused(refused, wanted.features.length - 1);
    return false;
  }

  // The API names the field of the document; the operator is shown the field of the form.
  refused(refused, at) {
    const { problem } = refused;
    const errors = problem.errors || [{ field: problem.field || "", detail: problem.detail || refused.message }];
    const field = (name) => (name === `features[${at}].properties.name` ? "name" : "corners");
    this.mark(this.removing ? [] : errors.map((error) => [field(error.field), error.detail]));
    setText(this.answer, this.removing ? `Nothing was stored: ${refused.message}` : "Nothing was stored.");
  }

  mark(wrong) {
    for (const note of this.form.querySelectorAll(".wrong")) note.remove();
    for (const name of ["name", "corners"]) {
      const input = this.form.elements[name];
      const said = wrong.filter(([field]) => field === name).map(([, text]) => text).join("; ");
      input.setAttribute("aria-invalid", String(said !== ""));
      input.removeAttribute("aria-describedby");
      if (said === "") continue;
      input.setAttribute("aria-describedby", `wrong-no-fly-${name}`);
      input.parentElement.append(h("span", { class: "wrong", id: `wrong-no-fly-${name}` }, said));
    }
  }
}

const nameOf = (area) => area.properties.name || area.properties.id;
const many = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;

function effects(refused, { orders, inside, routes }) {
  const lines = refused.map((why) => ["failed", `It would be refused: ${why}.`]);
  if (orders.length) lines.push(["", `${many(orders.length, "open order")} with an end inside, to fail if the area stays: `, orders, "delivery"]);
  if (inside.length) lines.push(["", `${many(inside.length, "drone")} inside now, to leave by the shortest line: `, inside, "drone"]);
  if (routes.length) lines.push(["", `${many(routes.length, "route")} through it, to be planned anew: `, routes, "drone"]);
  if (!lines.length) lines.push(["", "No open order, drone or route that this page knows is touched."]);
  return lines;
}

function links(ids, kind) {
  const shown = ids.slice(0, NAMED_MAX).flatMap((id) => [h("a", { href: hashOf({ kind, id }), class: "mono" }, kind === "drone" ? id : shortId(id)), " "]);
  return ids.length > NAMED_MAX ? [...shown, `and ${ids.length - NAMED_MAX} more`] : shown;
}
