// What is known of the chosen drone or delivery. Built once for each that is chosen; then only what differs is written, so
// that focus and a screen reader stay where they are.

import { Announcer, Facts, Lines } from "./card_parts.js";
import { DeliveryCard } from "./card_delivery.js";
import { DroneCard } from "./card_drone.js";
import { copyButton, h, setText } from "./dom.js";
import { shortId } from "./format.js";

export class Card {
  // `hands`: {onChoose, onLeave, session, locate, follow, batteries}.
  constructor(root, world, hands) {
    this.root = root;
    this.world = world;
    this.hands = hands;
    this.announcer = new Announcer(document.querySelector("#announce"));
    this.shown = null; // the id and kind that the elements are of
    root.addEventListener("keydown", (event) => event.key === "Escape" && hands.onLeave());
    document.addEventListener("keydown", (event) => this.key(event));
    this.missing = null; // {kind, id, text}: asked for, and not there
  }

  // A focus that is nowhere, as after a press on an empty place, still closes the card; what lies over it comes first.
  key(event) {
    if (event.key !== "Escape" || event.target !== document.body || event.defaultPrevented || this.root.hidden) return;
    if (!this.world.sketch && !document.querySelector("dialog[open]")) this.hands.onLeave();
  }

  draw() {
    const { chosen } = this.world;
    const one = chosen && (chosen.kind === "drone" ? this.world.drones.get(chosen.id)?.news : this.world.deliveries.get(chosen.id));
    const gone = chosen && !one && this.missing?.id === chosen.id ? this.missing : null;
    this.root.hidden = !one && !gone;
    if (!one) {
      this.body?.leave(); // nothing is followed by a card that is closed
      this.body = null;
      if (gone) this.say(gone);
      else this.shown = null;
      return;
    }
    const key = `${chosen.kind} ${chosen.id}`;
    if (this.shown !== key) this.build(key, chosen, one);
    this.badge.style.setProperty("--tone", `var(--${one.status})`);
    setText(this.word, one.status);
    this.body.draw(one);
    this.announcer.status(key, `${chosen.kind === "drone" ? "Drone" : "Order"} ${chosen.kind === "drone" ? one.id : shortId(one.id)} is ${one.status}`);
  }

  build(key, chosen, one) {
    this.shown = key;
    this.body?.leave();
    this.word = h("span", {});
    this.badge = h("span", { class: "badge" }, h("i"), this.word);
    const Kind = chosen.kind === "drone" ? DroneCard : DeliveryCard;
    this.body = new Kind(one.id, this.world, this.hands, { Facts, Lines });
    this.root.replaceChildren(this.head(chosen, one.id), ...this.body.nodes);
  }

  head(chosen, id) {
    const close = h("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => this.hands.onLeave() }, "×");
    const title = h("h3", { title: id, tabindex: "-1" }, chosen.kind === "drone" ? id : shortId(id));
    return h("header", {}, title, this.badge || "", close, h("p", { class: "whole" }, h("code", {}, id), copyButton(id, "Copy the id", "copy id"), copyButton(() => location.href, "Copy the link to this", "copy link")));
  }

  say(gone) {
    const key = `missing ${gone.id}`;
    if (this.shown === key) return;
    this.shown = key;
    this.badge = null;
    this.root.replaceChildren(this.head(gone, gone.id), h("p", { class: "note" }, gone.text));
  }
}
