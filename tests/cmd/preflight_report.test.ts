/** `preflight` for programs: what is said of several hosts. */
import assert from "node:assert/strict";
import { mergingHosts } from "../../cmd/output/preflight_report.ts";
import type { Diagnostic } from "../../policy/diagnostic.ts";

const FOUND: Diagnostic = {
  code: "BG2001",
  severity: "error",
  message: "no device",
  file: "a.yaml",
  line: 1,
  column: 2,
  help: "",
};

Deno.test("what is true of several hosts at one place is said once, and names them", () => {
  const found = [
    FOUND,
    { ...FOUND, host: "a", fix: "look in a" },
    { ...FOUND, host: "b", fix: "look in b" },
    { ...FOUND, host: "b", line: 2, fix: "look" },
    { ...FOUND, host: "c", line: 2, fix: "look" },
    { ...FOUND, host: "c", line: 3, fix: "look in c" },
  ];
  assert.deepEqual(
    mergingHosts(found).map(({ message, line, fix }) => [message, line, fix]),
    [
      ["no device", 1, undefined],
      ["2 hosts (a, b): no device", 1, undefined],
      ["2 hosts (b, c): no device", 2, "look"],
      ["c: no device", 3, "look in c"],
    ],
  );
});

Deno.test("a diagnostic of a fleet names some hosts, and counts the others", () => {
  const fleet = Array.from({ length: 200 }, (_, at) => ({ ...FOUND, host: `h${at}` }));
  const [only, ...more] = mergingHosts(fleet);
  assert.deepEqual(more, []);
  assert.match(only?.message ?? "", /^200 hosts \(h0, .*, h7 and 192 more\): no device$/);
});
