// One call, tried from the page: its fields, the request as curl, the answer.

import { wordsOf } from "./docs_schema.js";
import { h } from "./dom.js";

const SHOWN_MAX = 20_000; // characters of an answer
const HIDDEN = new Set(["X-Request-ID", "traceparent"]);

export function tryIt(spec, method, path, call) {
  const fields = call.parameters.filter((one) => !HIDDEN.has(one.name)).map((one) => field(spec, one));
  const [kind, content] = Object.entries(call.requestBody?.content || {})[0] || [];
  const body = kind ? h("textarea", { spellcheck: "false" }) : null;
  if (body && call.requestBody.required) body.value = content.example ? JSON.stringify(content.example, null, 2) : "";
  const token = call.security ? h("input", { type: "password", autocomplete: "off" }) : null;
  const answer = h("div", { class: "answer", role: "status" });
  const request = () => written(method, path, fields, kind, body, token);
  const send = h("button", { type: "button", class: "go", onclick: () => sendNow(send, request(), answer) }, "Send");
  const copy = h("button", { type: "button", onclick: () => copyNow(copy, curl(request())) }, "Copy as curl");
  const streams = call.operationId === "follow_events";
  return h("section", {}, h("h3", {}, "Try it"),
    ...fields.map((one) => h("label", {}, h("code", {}, one.name), one.required ? "" : "(optional)", one.input)),
    body ? h("label", {}, `Body, ${kind}`, body) : null,
    token ? h("label", {}, "Operator token (stays in this page)", token) : null,
    h("div", { class: "bar" }, streams ? h("span", { class: "form" }, "An endless stream: follow it with curl -N") : send, copy),
    answer);
}

function field(spec, one) {
  const options = wordsOf(spec, one.schema);
  const input = options
    ? h("select", {}, h("option", { value: "" }, "any"), ...options.map((word) => h("option", {}, word)))
    : h("input", { type: "text", autocomplete: "off" });
  return { name: one.name, where: one.in, required: one.required, input };
}

function written(method, path, fields, kind, body, token) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { name, where, input } of fields) {
    if (where === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value || name));
    else if (input.value && where === "query") query.set(name, input.value);
    else if (input.value) headers[name] = input.value;
  }
  const text = body?.value.trim();
  if (text) headers["Content-Type"] = kind;
  if (token?.value) headers.Authorization = `Bearer ${token.value}`;
  const asked = query.toString();
  return { method: method.toUpperCase(), url: `${location.origin}${target}${asked ? `?${asked}` : ""}`, headers, body: text || undefined };
}

// The token is never copied: a shell's history keeps what is typed.
export function curl({ method, url, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl -sS -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers)) {
    lines.push(name === "Authorization" ? "-H \"Authorization: Bearer $OPERATOR_TOKEN\"" : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`--data-binary ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

async function sendNow(button, { method, url, headers, body }, answer) {
  button.disabled = true;
  answer.replaceChildren("asking");
  try {
    const got = await fetch(url, { method, headers, body, signal: AbortSignal.timeout(30_000) });
    const text = await got.text();
    answer.replaceChildren(h("p", {}, `${got.status} ${got.statusText}`), h("pre", { tabindex: "0" }, readable(text)));
  } catch (error) {
    answer.replaceChildren(h("p", {}, `No answer: ${error.message}`));
  } finally {
    button.disabled = false;
  }
}

function readable(text) {
  const cut = (whole) => (whole.length > SHOWN_MAX ? `${whole.slice(0, SHOWN_MAX)}\n… ${whole.length - SHOWN_MAX} characters more` : whole);
  try {
    return cut(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return cut(text);
  }
}

async function copyNow(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.after(h("pre", { tabindex: "0" }, text)); // no clipboard without TLS beyond localhost: it can be taken from here
  }
  setTimeout(() => { button.textContent = label; }, 2000);
}
