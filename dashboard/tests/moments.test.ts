import { describe, expect, test } from "vitest";
import { absolute, between, isZone, relative, tickText } from "../src/text/moments";

const AT = Date.parse("2030-01-31T05:00:05.678Z");

describe("instants", () => {
  test("relative", () => {
    expect([relative(AT, AT), relative(AT, AT + 3500), relative(AT, AT - 61_000), relative(AT, AT + 7_200_000)]).toEqual([
      "now", "3 s ago", "in 1 m", "2 h ago",
    ]); // biome-ignore format: one line
  });

  test("what is hours ahead is told to the minute", () => {
    expect(relative(AT, AT - 7_140_000)).toBe("in 1 h 59 m");
  });

  test("absolute in a zone", () => {
    expect(absolute(AT, "UTC")).toBe("2030-01-31 05:00:05 UTC");
    expect(absolute(AT, "Europe/Berlin", true)).toMatch(/^2030-01-31 06:00:05\.678 (CET|GMT\+1)$/);
    expect(isZone("Europe/Berlin")).toBe(true);
    expect(isZone("Europe/Atlantis")).toBe(false);
  });

  test("spans are never negative", () => {
    expect(between("2030-01-01T00:00:05Z", "2030-01-01T00:00:00Z")).toBe(0);
    expect(between("2030-01-01T00:00:00Z", "2030-01-01T00:01:30Z")).toBe(90);
    expect(between("2030-01-01T00:00:00.000100Z", "2030-01-01T00:00:00.000350+00:00")).toBeCloseTo(0.00025, 6);
    expect(between("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5Z")).toBe(0.5);
    expect(between(null, "2030-01-01T00:01:30Z")).toBeNull();
  });

  test("labels of an axis name the day where it changes", () => {
    const midnight = Date.parse("2030-02-01T00:00:00Z");
    expect(tickText(midnight, "UTC", midnight - 3_600_000)).toBe("02-01");
    expect(tickText(midnight + 3_600_000, "UTC", midnight)).toBe("01:00");
  });
});
