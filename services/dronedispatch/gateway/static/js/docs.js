// The OpenAPI document as a page: search, examples, try it, copy as curl.

import { $, h } from "./dom.js";
import { form, kinds, named, prose } from "./docs_schema.js";
import { tryIt } from "./docs_try.js";

const page = $("#page");
const DEADLINE_MS = 15_000;
const TRY_AGAIN_MS = 2000;

async function read() {
  let spec;
  try {
    const answer = await fetch("/openapi.json", { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    spec = await answer.json();
  } catch (error) {
    $("[role=status]", page).textContent = `The document could not be read (${error.message}): trying again.`;
    setTimeout(read, TRY_AGAIN_MS);
    return;
  }
  show(spec);
}

function show(spec) {
  const shown = spec.tags.map((tag) => group(spec, tag));
  page.replaceChildren(top(spec), search(), ...shown, events(spec), schemas(spec));
  const asked = decodeURIComponent(location.hash.slice(1));
  const target = asked && document.getElementById(asked);
  if (target) {
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  }
}

function top(spec) {
  return h("header", {},
    h("h1", {}, `${spec.info.title} API `, h("small", {}, spec.info.version)),
    h("p", {}, ...prose(spec.info.description)),
    h("p", {}, h("a", { href: "/openapi.json" }, "openapi.json"), " · ", h("a", { href: "/problems" }, "problems"), " · ", h("a", { href: "/dashboard" }, "dashboard")));
}

function search() {
  const field = h("input", { type: "search", id: "search", placeholder: "path, name or word", autocomplete: "off" });
  const count = h("p", { role: "status", class: "form" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const one of document.querySelectorAll("[data-words]")) {
      one.hidden = !words.every((word) => one.dataset.words.includes(word));
      if (!one.hidden) left += 1;
    }
    for (const one of document.querySelectorAll("section.group")) one.hidden = !$("[data-words]:not([hidden])", one);
    count.textContent = words.length ? `${left} found` : "";
  });
  return h("div", { class: "search" }, h("label", { for: "search" }, "Search"), field, count);
}

function group(spec, tag) {
  const calls = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([, call]) => call.tags.includes(tag.name)).map(([method, call]) => operation(spec, method, path, call)));
  return h("section", { class: "group" }, h("h2", {}, tag.name), h("p", {}, ...prose(tag.description)), ...calls);
}

function operation(spec, method, path, call) {
  const words = `${method} ${path} ${call.operationId} ${call.summary} ${call.description || ""} ${call.parameters.map((one) => one.name).join(" ")}`;
  return h("details", { class: `operation ${method}`, id: call.operationId, "data-words": words.toLowerCase() },
    h("summary", {}, h("b", {}, method.toUpperCase()), h("code", {}, path), h("span", {}, ...prose(call.summary)), call.security ? h("em", {}, "operator token") : null),
    h("p", {}, "operationId ", h("code", {}, call.operationId)),
    call.description ? h("p", {}, ...prose(call.description)) : null,
    table("Parameters", ["name", "in", "what", "form"], call.parameters.map((one) => [one.name, one.in, h("span", {}, ...prose(one.description)), form(one.schema)])),
    call.requestBody ? body(call.requestBody) : null,
    table("Answers", ["status", "what", "form"], Object.entries(call.responses).map(([status, one]) => [status, h("span", {}, ...prose(one.description)), answerForm(one)])),
    tryIt(spec, method, path, call));
}

function answerForm(answer) {
  const cell = kinds(answer.content);
  const examples = answer.content?.["application/problem+json"]?.examples;
  if (!examples) return cell;
  const list = h("span", {}, cell);
  for (const [name, { value }] of Object.entries(examples)) {
    list.append(h("details", {}, h("summary", {}, name), h("a", { href: `/problems/${name}` }, `what ${name} means`), code(value)));
  }
  return list;
}

function body(requestBody) {
  const [kind, content] = Object.entries(requestBody.content)[0];
  return h("section", {}, h("h3", {}, "Body"), h("p", {}, h("code", {}, kind), " ", form(content.schema)), content.example ? code(content.example) : null);
}

function table(title, heads, rows) {
  if (!rows.length) return null;
  return h("section", {}, h("h3", {}, title), h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": title },
    h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell))))))));
}

function code(value) {
  return h("pre", { tabindex: "0" }, JSON.stringify(value, null, 2));
}

function events(spec) {
  const known = spec.paths["/events"].get["x-events"];
  return h("section", {}, h("h2", {}, "Events of /events"),
    table("By name", ["event", "carries an id", "data"], Object.entries(known).map(([name, one]) => [name, one.id ? "yes" : "no", form(one.schema)])));
}

function schemas(spec) {
  return h("section", { class: "schemas group" }, h("h2", {}, "Forms"),
    ...Object.entries(spec.components.schemas).map(([name, schema]) =>
      h("section", { id: named(name), "data-words": name.toLowerCase() }, h("h3", {}, name), schema.description ? h("p", {}, ...prose(schema.description)) : null, form(schema))));
}

read();
