import { describe, expect, test } from "vitest";
import { dig, pretty, preview, readJson, textOf } from "../src/text/json";

const BIG = "9007199254740993777";

describe("JSON as it was written", () => {
  test("big integers survive", () => {
    const text = `{"args": {"id": ${BIG}, "f": 1.0, "e": 1E400}}`;
    const args = dig(readJson(text), "args");
    expect(textOf(text, args)).toBe(`{"id": ${BIG}, "f": 1.0, "e": 1E400}`);
    expect(dig(args, "id")).toMatchObject({ kind: "number", value: BIG });
    expect(pretty(textOf(text, args))).toBe(`{\n  "id": ${BIG},\n  "f": 1.0,\n  "e": 1E400\n}`);
  });

  test("pretty text means the same", () => {
    const text = '[{"a":[],"b":{},"c":[1,{"d":null}],"é\\n":"\\u0000 \\" x"},true,false,-0.5e-3]';
    expect(JSON.parse(pretty(text))).toEqual(JSON.parse(text));
    expect(JSON.parse(pretty(pretty(text)))).toEqual(JSON.parse(text));
  });

  test.each([
    "",
    "{",
    "[1,]",
    '{"a" 1}',
    "01",
    "nul",
    '"open',
    "{} {}",
    "[1 2]",
    "+1",
    "'x'",
  ])("%s is refused", (text) => {
    expect(() => readJson(text)).toThrow(SyntaxError);
  });

  test("the line is named", () => expect(() => readJson('{\n"a": 1,\n"b": x\n}')).toThrow("line 3"));

  test("depth has an end", () => expect(() => readJson("[".repeat(1000) + "]".repeat(1000))).toThrow("too deep"));

  test("a line of it", () => {
    expect(
      preview(readJson('{"to": "a@example.com", "n": 3, "list": [1, 2], "o": {"x": 1}, "none": null, "e": ""}')),
    ).toBe('to: a@example.com, n: 3, list: [2], o: {1}, none: null, e: ""');
    expect(preview(readJson(`{"x": "${"y".repeat(300)}"}`), 20)).toHaveLength(21);
    expect(preview(undefined)).toBe("");
  });
});
