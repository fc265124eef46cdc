/** A start for somebody who writes arguments: what a JSON Schema requires, with values of the right type. */

type Schema = Record<string, unknown>;

/** A schema with its reference followed: msgspec and others put every struct under `$defs`. */
export function followed(schema: Schema, root: Schema): Schema {
  let found = schema;
  for (let steps = 0; typeof found.$ref === "string" && steps < 10; steps += 1) {
    const path = found.$ref.replace(/^#\//, "").split("/");
    const target = path.reduce<unknown>(
      (at, name) => (at as Schema | undefined)?.[name.replace(/~1/g, "/").replace(/~0/g, "~")],
      root,
    );
    if (typeof target !== "object" || target === null) return {};
    found = target as Schema;
  }
  return found;
}

/** JSON text of an object with the required properties. */
export function templateOf(schema: Schema | null): string {
  if (!schema) return "{}";
  const whole = followed(schema, schema);
  const properties = (whole.properties ?? {}) as Record<string, Schema>;
  const required = (whole.required ?? []) as string[];
  const members = required.map(
    (name) => `  ${JSON.stringify(name)}: ${JSON.stringify(startOf(properties[name] ?? {}, schema))}`,
  );
  return members.length ? `{\n${members.join(",\n")}\n}` : "{}";
}

function startOf(given: Schema, root: Schema): unknown {
  const schema = followed(given, root);
  if ("default" in schema) return schema.default;
  if (Array.isArray(schema.examples) && schema.examples.length) return schema.examples[0];
  if (Array.isArray(schema.enum) && schema.enum.length) return schema.enum[0];
  if ("const" in schema) return schema.const;
  const choices = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined;
  if (choices?.length) return startOf(choices.find((each) => each.type !== "null") ?? {}, root);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case "string":
      return "";
    case "integer":
    case "number":
      return typeof schema.minimum === "number" ? schema.minimum : 0;
    case "boolean":
      return false;
    case "array":
      return [];
    case "object":
      return {};
    default:
      return null;
  }
}
