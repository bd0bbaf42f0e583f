// A page needs each of its scripts and sheets. A browser asks for each once: a network that changes meanwhile (another
// Wi-Fi, a new interface) loses one, and the page would stand there for ever. This says so, and loads the page again.
//
// What somebody else has put into the page (a browser's extension) may fail: it would fail again after every load.
//
// A plain script, before all others and without them.

(() => {
  const KEY = "dronedispatch-loads-lost"; // pages in a row, in this tab
  const FIRST_MS = 500;
  const LONGEST_MS = 30_000;
  const LOST = "Not all of this page was loaded. It is being loaded again.";
  const PARTS = `${location.origin}/dashboard/`;
  let lost = false;

  // A browser may forbid storage: then every try waits as long as the first.
  function count(next) {
    try {
      if (next === undefined) return Number(sessionStorage.getItem(KEY)) || 0;
      sessionStorage.setItem(KEY, String(next));
    } catch {
      // forbidden
    }
    return 0;
  }

  // Its look is its own: the sheets may be what is lost.
  function say() {
    if (!document.body || document.getElementById("lost")) return;
    const said = document.createElement("p");
    said.id = "lost";
    said.setAttribute("role", "alert");
    said.style.cssText = "position:fixed;inset:0 0 auto;z-index:99;margin:0;padding:8px 16px;background:#a11d1d;color:#fff;font:15px system-ui,sans-serif";
    said.textContent = LOST;
    document.body.prepend(said);
  }

  // Not before the page is there to be loaded: what is shown now is better than the browser's own page.
  async function again(tries) {
    const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 10));
    await new Promise((done) => setTimeout(done, most * (0.5 + Math.random() / 2)));
    count(tries + 1);
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(LONGEST_MS) });
      if (answer.ok) location.reload();
      else again(tries + 1);
    } catch {
      again(tries + 1);
    }
  }

  const isPart = (element) =>
    (element instanceof HTMLScriptElement && element.src.startsWith(PARTS)) ||
    (element instanceof HTMLLinkElement && element.rel === "stylesheet" && element.href.startsWith(PARTS));

  addEventListener("error", ({ target }) => {
    if (lost || !isPart(target)) return;
    lost = true;
    say();
    again(count());
  }, true);
  addEventListener("DOMContentLoaded", () => lost && say());
  addEventListener("load", () => lost || count(0));
})();
