// The system's own word for itself, beside the page's word for its news: three words, each reason with the command to type.

import * as api from "./api.js";
import { copyButton, h, setText } from "./dom.js";

const ASK_MS = 3000;

export class SystemHealth {
  constructor(button, panel, onChange) {
    this.button = button;
    this.panel = panel;
    this.onChange = onChange;
    this.document = null;
    this.said = "";
    this.title = h("h2", {});
    this.body = h("div", {});
    const close = h("button", { class: "close", type: "button", "aria-label": "Close", onclick: () => this.open(false, true) }, "×");
    panel.replaceChildren(h("header", {}, this.title, close), this.body);
    button.addEventListener("click", () => this.open(panel.hidden));
    for (const one of [button, panel]) one.addEventListener("keydown", (event) => event.key === "Escape" && this.open(false, true));
    this.ask();
    setInterval(() => document.hidden || this.ask(), ASK_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
  }

  open(wanted, back = false) {
    this.panel.hidden = !wanted;
    this.button.setAttribute("aria-expanded", String(wanted));
    if (back) this.button.focus();
  }

  async ask() {
    if (this.asking) return;
    this.asking = true;
    try {
      this.show(await api.health());
    } catch (refused) {
      this.show({ health: "unknown", reasons: [{ kind: "no_answer", text: `The system does not say how it is: ${refused.message}`, next: "scripts/status" }] });
    } finally {
      this.asking = false;
    }
  }

  show(document) {
    this.document = document;
    const said = JSON.stringify([document.health, document.reasons]);
    if (said === this.said) return;
    this.said = said;
    this.button.dataset.word = document.health;
    setText(this.button.querySelector("b"), document.health === "unknown" ? "system unknown" : `system ${document.health}`);
    const reasons = (document.reasons || []).map((one) => h("li", {}, h("p", {}, one.text), h("p", { class: "next" }, h("code", {}, one.next), copyButton(one.next, "Copy what to do next"))));
    setText(this.title, `The system is ${document.health}`);
    this.body.replaceChildren(reasons.length ? h("ul", {}, ...reasons) : h("p", {}, "Every part serves what it promises."));
    this.onChange();
  }
}
