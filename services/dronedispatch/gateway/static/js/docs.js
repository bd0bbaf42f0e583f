// The OpenAPI document as a page.

import { h } from "./dom.js";

const answer = await fetch("/openapi.json");
const spec = await answer.json();
document.body.replaceChildren(top(), ...operations(), schemas());

function top() {
  return h("header", {},
    h("h1", {}, `${spec.info.title} API `, h("small", {}, spec.info.version)),
    h("p", {}, spec.info.description),
    h("p", {}, h("a", { href: "/openapi.json" }, "openapi.json"), " · ", h("a", { href: "/dashboard" }, "dashboard")));
}

function operations() {
  return Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      h("details", { class: `operation ${method}`, id: `${method}${path}` },
        h("summary", {}, h("b", {}, method.toUpperCase()), h("code", {}, path), h("span", {}, operation.summary), operation.security ? h("em", {}, "operator token") : null),
        operation.description ? h("p", {}, operation.description) : null,
        table("Parameters", ["name", "in", "what", "form"], operation.parameters.map((p) => [p.name, p.in, p.description || "", form(p.schema)])),
        operation.requestBody ? body(operation.requestBody) : null,
        table("Answers", ["status", "what", "form"], Object.entries(operation.responses).map(([status, r]) => [status, r.description, kinds(r.content)])),
        h("pre", {}, curl(method, path, operation)))));
}

function table(title, heads, rows) {
  if (!rows.length) return null;
  return h("section", {}, h("h3", {}, title), h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", {}, head)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, cell)))))));
}

function body(requestBody) {
  const [kind, { schema }] = Object.entries(requestBody.content)[0];
  return h("section", {}, h("h3", {}, "Body"), h("p", {}, h("code", {}, kind), " ", form(schema)));
}

function kinds(content = {}) {
  const span = h("span", {});
  for (const [kind, { schema }] of Object.entries(content)) span.append(h("code", {}, kind), " ", form(schema), " ");
  return span;
}

function form(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return h("a", { href: `#schema-${name}` }, name);
  }
  if (schema.anyOf) {
    const span = h("span", {});
    schema.anyOf.forEach((one, i) => span.append(i ? " or " : "", form(one)));
    return span;
  }
  if (schema.type === "array") {
    return h("span", {}, "list of ", form(schema.items));
  }
  if (schema.type === "object" && schema.properties) {
    const list = h("ul", {});
    for (const [name, one] of Object.entries(schema.properties)) {
      const must = (schema.required || []).includes(name);
      list.append(h("li", {}, h("code", {}, name), must ? "" : " (optional)", " ", form(one), one.description ? ` – ${one.description}` : ""));
    }
    return list;
  }
  const bounds = ["minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "pattern", "format", "const"].filter((key) => key in schema).map((key) => `${key} ${schema[key]}`);
  const words = [schema.type, schema.enum ? schema.enum.join(" | ") : null, bounds.join(", ")].filter(Boolean);
  return h("span", { class: "form" }, words.join(", ") || "any");
}

function schemas() {
  return h("section", { class: "schemas" }, h("h2", {}, "Forms"),
    ...Object.entries(spec.components.schemas).map(([name, schema]) =>
      h("section", { id: `schema-${name}` }, h("h3", {}, name), schema.description ? h("p", {}, schema.description) : null, form(schema))));
}

function curl(method, path, operation) {
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${location.origin}${path}`];
  if (operation.security) lines.push("-H \"Authorization: Bearer $OPERATOR_TOKEN\"");
  if (operation.requestBody) {
    const [kind, { schema }] = Object.entries(operation.requestBody.content)[0];
    const found = schema.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema;
    if (operation.requestBody.required) lines.push(`-H 'Content-Type: ${kind}'`, `-d '${JSON.stringify(found.example || skeleton(found))}'`);
  }
  return lines.join(" \\\n  ");
}

function skeleton(schema) {
  return Object.fromEntries((schema.required || []).map((name) => [name, schema.properties[name].type === "integer" ? 5 : null]));
}
