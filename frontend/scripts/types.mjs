// Generates src/audit.ts, the TypeScript types of an audit, from the JSON schema that Python exports.
import { readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const schema = JSON.parse(await readFile(new URL("../audit.schema.json", import.meta.url), "utf8"));

/** Rewrite the schema for the type generator: draft-07 tuples, and no alias for every titled property. */
function simplify(node, isDefinition) {
  if (Array.isArray(node)) return node.map((item) => simplify(item, false));
  if (node === null || typeof node !== "object") return node;
  const { title, prefixItems, properties, $defs, ...rest } = node;
  const simple = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, simplify(value, false)]));
  if (isDefinition && title) simple.title = title;
  if (simple.type === "number") simple.type = ["number", "null"]; // Python writes NaN and infinity as null.
  if (prefixItems) simple.items = simplify(prefixItems, false);
  if ($defs) simple.$defs = simplifyValues($defs, true);
  if (properties) {
    simple.properties = simplifyValues(properties, false);
    simple.required = Object.keys(properties); // Python writes every field, including those with a default.
    simple.additionalProperties = false;
  }
  return simple;
}

function simplifyValues(object, areDefinitions) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, simplify(value, areDefinitions)]));
}

const types = await compile(simplify(schema, true), "Audit", {
  bannerComment: "// Generated from audit.schema.json by scripts/types.mjs. Do not edit.",
  unreachableDefinitions: true,
});
await writeFile(new URL("../src/audit.ts", import.meta.url), types);
