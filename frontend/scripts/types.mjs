// Generates TypeScript types from what Python exports: src/audit.ts of an audit, src/api.ts of what the server answers.
import { readFile, writeFile } from "node:fs/promises";
import { compile } from "json-schema-to-typescript";

const read = async (name) => JSON.parse(await readFile(new URL(`../${name}`, import.meta.url), "utf8"));

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

/** Write the types of a schema. */
async function write(schema, name, from, file) {
  const types = await compile(simplify(schema, true), name, {
    bannerComment: `// Generated from ${from} by scripts/types.mjs. Do not edit.`,
    unreachableDefinitions: true,
  });
  await writeFile(new URL(`../src/${file}`, import.meta.url), types);
}

await write(await read("audit.schema.json"), "Audit", "audit.schema.json", "audit.ts");

const { components } = JSON.parse(
  JSON.stringify(await read("openapi.json")).replaceAll("#/components/schemas/", "#/$defs/"),
);
const named = Object.entries(components.schemas).map(([name, schema]) => [name, { ...schema, title: name }]);
await write({ title: "Api", type: "object", $defs: Object.fromEntries(named) }, "Api", "openapi.json", "api.ts");
