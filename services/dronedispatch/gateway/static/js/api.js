// The public API, as anybody may use it. Nobody waits for an answer longer than this:
const DEADLINE_MS = 15_000;

export class Refused extends Error {
  // `unknown`: nobody can say whether what was asked for was done.
  constructor(problem, unknown = false) {
    super(problem.detail || problem.title || "refused");
    Object.assign(this, { problem, unknown });
  }
}

async function call(path, options = {}, seen = {}) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(DEADLINE_MS), ...options });
  } catch (error) {
    const why = error.name === "TimeoutError" ? "the system is silent" : error.message;
    throw new Refused({ title: "no answer", detail: `No answer: ${why}` }, true);
  }
  seen.etag = answer.headers.get("ETag");
  let body;
  try {
    body = await answer.json();
  } catch (error) {
    if (answer.ok) throw new Refused({ title: "no answer", detail: `The answer was cut: ${error.message}` }, true);
    body = {};
  }
  const unknown = answer.headers.get("X-Outcome") === "unknown" || answer.status === 502 || answer.status === 504;
  if (!answer.ok) throw new Refused({ status: answer.status, ...body }, unknown);
  return body;
}

const post = (path, body, headers = {}, seen = {}) =>
  call(path, {
    method: "POST",
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  }, seen);

function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const bare = (etag) => (etag || "").replace(/^W\//, "").replaceAll('"', "");

// The city, and the version that the answering gateway has of it.
export async function zones() {
  const seen = {};
  const city = await call("/zones", { cache: "no-store" }, seen);
  return { city, etag: bare(seen.etag) };
}

// The whole city, if it still has version `etag`. Its answer holds it as it is now.
export async function replaceZones(city, etag) {
  const seen = {};
  const headers = { "Content-Type": "application/geo+json", "If-Match": `"${etag}"` };
  const now = await call("/zones", { method: "PUT", headers, body: JSON.stringify(city) }, seen);
  return { city: now, etag: bare(seen.etag) };
}

export const delivery = (id) => call(`/deliveries/${encodeURIComponent(id)}`);

// With the version that was read: a change that comes with it is refused if the record is another one by then.
export async function deliveryAndTag(id) {
  const seen = {};
  return { one: await call(`/deliveries/${encodeURIComponent(id)}`, { cache: "no-store" }, seen), etag: seen.etag };
}

// "cancel", "priority" or "deadline".
export async function change(id, name, body, etag) {
  const seen = {};
  const headers = etag ? { "If-Match": etag } : {};
  return { one: await post(`/deliveries/${encodeURIComponent(id)}/${name}`, body, headers, seen), etag: seen.etag };
}

// "decommission" or "recommission": the operator's.
export const wish = (id, verb) => post(`/drones/${encodeURIComponent(id)}/${verb}`);

// A page of the list: {deliveries, next}. `query`: URLSearchParams.
export const deliveries = (query) => call(`/deliveries?${query}`);
export const ordersOf = (drone, limit) => call(`/deliveries?drone=${encodeURIComponent(drone)}&limit=${limit}`);
export const drone = (id) => call(`/drones/${encodeURIComponent(id)}`);
export const why = (id) => call(`/deliveries/${encodeURIComponent(id)}/why`);

export const session = () => call("/session", { cache: "no-store" });
export async function signIn(token) {
  if (/[^\x20-\x7e]/.test(token)) throw new Refused({ status: 401, title: "no token has such letters" }); // nor can a header carry them
  return post("/session", undefined, { Authorization: `Bearer ${token}` });
}
export const signOut = () => call("/session", { method: "DELETE" });

// Of the process that answers, and of what it serves with: ready or not, the document is the answer.
export async function health() {
  const document = await call("/health?live=1", { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!document.health) throw new Refused({ title: "no health", detail: "the answer holds no word" });
  return document;
}

let unsettled = null; // {text, key}: an order of which nobody could say whether it was placed

// One key for one press of the button: a repetition after a lost answer is the same order. So is the next press, when nobody
// could say what became of the first.
export async function placeOrder(order) {
  const text = JSON.stringify(order);
  const key = unsettled?.text === text ? unsettled.key : freshKey();
  let unknown = unsettled?.key === key;
  unsettled = null;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await post("/deliveries", order, { "Idempotency-Key": key });
    } catch (refused) {
      unknown ||= refused.unknown;
      const again = refused.problem.status === undefined || refused.problem.status >= 500;
      if (!again || attempt === 3) {
        if (again && unknown) unsettled = { text, key };
        throw new Refused(refused.problem, again && unknown);
      }
      await new Promise((done) => setTimeout(done, 300 * 2 ** attempt));
    }
  }
}

// The newest deliveries, and all open ones however old and however many.
export async function someDeliveries() {
  const newest = async () => (await deliveries("limit=200")).deliveries;
  return (await Promise.all([newest(), ...["pending", "assigned", "in-progress"].map(allOf)])).flat();
}

async function allOf(status) {
  const query = new URLSearchParams({ status, limit: 500 });
  const found = [];
  for (;;) {
    const page = await deliveries(query);
    found.push(...page.deliveries);
    if (!page.next) return found;
    query.set("after", page.next);
  }
}
