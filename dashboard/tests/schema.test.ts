import { expect, test } from "vitest";
import { templateOf } from "../src/text/schema";

test("what is required is there, with values of its type", () => {
  const schema = {
    type: "object",
    required: ["to", "count", "size", "tags", "extra", "when", "big", "what"],
    properties: {
      to: { type: "string" },
      count: { type: "integer", minimum: 1 },
      size: { enum: ["s", "l"] },
      tags: { type: "array" },
      extra: { type: "object" },
      when: { anyOf: [{ type: "null" }, { type: "string" }] },
      big: { type: "boolean" },
      left: { type: "string" },
      what: {},
    },
  };
  expect(JSON.parse(templateOf(schema))).toEqual({
    to: "", count: 1, size: "s", tags: [], extra: {}, when: "", big: false, what: null,
  }); // biome-ignore format: one line
  const struct = { type: "object", required: ["item"], properties: { item: { $ref: "#/$defs/Item" } } };
  const defined = {
    $ref: "#/$defs/a~1b",
    $defs: { "a/b": struct, Item: { type: "object" }, Loop: { $ref: "#/$defs/Loop" } },
  };
  expect(JSON.parse(templateOf(defined))).toEqual({ item: {} });
  expect(templateOf({ ...defined, $ref: "#/$defs/Loop" })).toBe("{}");
  expect(templateOf({ $ref: "#/$defs/nothing" })).toBe("{}");
  expect(templateOf(null)).toBe("{}");
  expect(templateOf({ type: "object", properties: {} })).toBe("{}");
});
