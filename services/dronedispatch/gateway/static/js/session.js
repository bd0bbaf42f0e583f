// The operator's session: the token is typed once, the browser keeps a cookie that no script can read.

import * as api from "./api.js";
import { $, onClosed, setText } from "./dom.js";
import { now } from "./now.js";

export class OperatorSession {
  constructor(button, dialog) {
    this.button = button;
    this.dialog = dialog;
    this.signedIn = false;
    this.waiting = []; // what to go on with when the dialog closes
    this.form = $("form", dialog);
    this.answer = $("output", dialog);
    this.answer.style.setProperty("--tone", "var(--failed)"); // it says nothing but why not
    setText($("[data-part=life]", dialog), location.protocol === "https:" ? "12 hours" : "one hour (12 over TLS)"); // gateway/core/session.py
    button.addEventListener("click", () => (this.signedIn ? this.signOut() : this.dialogOpen()));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.signIn();
    });
    $("[data-close]", dialog).addEventListener("click", () => dialog.close());
    onClosed(dialog, () => this.goOn());
    document.addEventListener("visibilitychange", () => document.hidden || this.read()); // another tab may have begun or ended it
    this.read();
  }

  async read() {
    clearTimeout(this.again);
    try {
      this.show(await api.session());
    } catch {
      this.again = setTimeout(() => this.read(), 3000); // nobody answers: then nobody is signed in either
    }
  }

  show({ signed_in, until }) {
    this.signedIn = signed_in;
    clearTimeout(this.again);
    if (until) this.again = setTimeout(() => this.read(), Math.max(0, Date.parse(until) - now()) + 1000);
    setText($("span", this.button), signed_in ? "Sign out" : "Sign in");
    this.button.title = signed_in ? `Signed in as the operator until ${until}` : "Sign in as the operator";
    document.body.dataset.operator = String(signed_in);
  }

  goOn() {
    this.form.reset();
    for (const go of this.waiting.splice(0)) go(this.signedIn);
  }

  dialogOpen() {
    this.goOn(); // the browser may not have told yet that it was closed
    this.answer.hidden = true;
    this.dialog.showModal();
  }

  // Whether the operator is signed in, by the system's own word; who is not is asked for the token first.
  async wanted() {
    await this.read();
    if (this.signedIn) return true;
    if (!this.dialog.open) this.dialogOpen();
    return new Promise((done) => this.waiting.push(done));
  }

  async signIn() {
    try {
      this.show(await api.signIn(this.form.elements.token.value.trim()));
      this.dialog.close();
    } catch (refused) {
      this.answer.hidden = false;
      setText(this.answer, refused.problem.status === 401 ? "This is not the operator's token." : refused.message);
      this.form.elements.token.select();
    }
  }

  async signOut() {
    try {
      this.show(await api.signOut());
    } catch (refused) {
      this.button.title = refused.message;
    }
  }

  // A session that has ended meanwhile: the next action asks for the token again.
  ended() {
    this.show({ signed_in: false, until: null });
  }
}
