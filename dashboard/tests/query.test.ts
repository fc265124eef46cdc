import { describe, expect, test } from "vitest";
import { quoted, suggest, terms, valuesOf, withField } from "../src/text/query";

const VALUES = { state: ["waiting", "active", "failed"], kind: ["send_email", "send letter", "resize"] };
const shown = (text: string, cursor = text.length): string[] => suggest(text, cursor, VALUES).map((each) => each.shown);

function taken(text: string, at = 0, cursor = text.length): string {
  const each = suggest(text, cursor, VALUES)[at];
  return each ? text.slice(0, each.from) + each.text + text.slice(each.to) : text;
}

describe("the filter language", () => {
  test("terms are found, complete or not", () => {
    expect(terms('state:failed -kind:"a b",c word err').map((term) => [term.negated, term.field, term.value])).toEqual([
      [false, "state", "failed"],
      [true, "kind", '"a b",c'],
      [false, "", "word"],
      [false, "", "err"],
    ]);
    expect(terms('kind:"open')[0]).toMatchObject({ field: "kind", value: '"open' });
    expect(terms("   ")).toEqual([]);
  });

  test("fields are completed", () => {
    expect(shown("st")).toEqual(["state:"]);
    expect(taken("st")).toBe("state:");
    expect(taken("state:failed -ki")).toBe("state:failed -kind:");
    expect(shown("").length).toBeGreaterThan(10);
    expect(shown("state:failed ")).toContain("kind:");
  });

  test("values are completed, those that begin so first", () => {
    expect(shown("state:")).toEqual(["waiting", "active", "failed"]);
    expect(shown("state:fa")).toEqual(["failed"]);
    expect(taken("state:fa")).toBe("state:failed");
    expect(taken("state:failed,wa")).toBe("state:failed,waiting");
    expect(taken("kind:letter")).toBe('kind:"send letter"');
    expect(shown("state:failed")).toEqual([]);
  });

  test("a completion in the middle leaves the rest alone", () => {
    expect(taken("state:fa kind:resize", 0, "state:fa".length)).toBe("state:failed kind:resize");
  });

  test("one field is set, the others stay", () => {
    expect(withField("kind:resize state:failed x", "state", "active")).toBe("state:active kind:resize x");
    expect(withField("state:failed -state:active", "state", null)).toBe("-state:active");
    expect(withField("", "user", 'a "b"')).toBe('user:"a \\"b\\""');
    expect(valuesOf("state:failed,active kind:x", "state")).toEqual(["failed", "active"]);
    expect(quoted("a,b")).toBe('"a,b"');
  });
});
