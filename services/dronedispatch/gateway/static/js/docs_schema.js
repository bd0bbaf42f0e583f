// A JSON Schema in words, with links to the forms that it names.

import { h } from "./dom.js";

const BOUNDS = ["minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength", "minItems", "pattern", "format", "const"];

// A description's text; what stands between backticks is code.
export const prose = (text = "") => text.split(/`([^`]+)`/).map((piece, i) => (i % 2 ? h("code", {}, piece) : piece));

export const named = (name) => `schema-${name}`;

// A parameter's words to choose from, if it has some.
export const wordsOf = (spec, schema) => (schema.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema).enum;

export function form(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return h("a", { href: `#${named(name)}` }, name);
  }
  if (schema.anyOf) {
    const span = h("span", {});
    schema.anyOf.forEach((one, i) => span.append(i ? " or " : "", form(one)));
    return span;
  }
  if (schema.type === "array") return h("span", {}, "list of ", form(schema.items));
  if (schema.type === "object" && schema.properties) return members(schema);
  const bounds = BOUNDS.filter((key) => key in schema).map((key) => `${key} ${schema[key]}`);
  const words = [schema.type, schema.enum ? schema.enum.join(" | ") : null, bounds.join(", ")].filter(Boolean);
  return h("span", { class: "form" }, words.join(", ") || "any");
}

function members(schema) {
  const list = h("ul", {});
  for (const [name, one] of Object.entries(schema.properties)) {
    const must = (schema.required || []).includes(name);
    list.append(h("li", {}, h("code", {}, name), must ? "" : " (optional)", " ", form(one), one.description ? " – " : "", ...prose(one.description)));
  }
  return list;
}

export function kinds(content = {}) {
  const span = h("span", {});
  for (const [kind, { schema }] of Object.entries(content)) span.append(h("code", {}, kind), " ", form(schema), " ");
  return span;
}
