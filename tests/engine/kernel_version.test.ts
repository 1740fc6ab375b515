import assert from "node:assert/strict";
import { isBefore, kernelFindings, parseRelease } from "../../engine/kernel_version.ts";

Deno.test("a release candidate counts as before its release", () => {
  const codes = (release: string) =>
    kernelFindings(release, false).map(({ diagnostic: { code } }) => code);
  assert.deepEqual(codes("6.18.44"), ["BG2015"]);
  assert.deepEqual(codes("6.19.0-rc3"), ["BG2015"]);
  assert.deepEqual(codes("6.19.2-1-amd64"), ["BG2016"]);
  assert.deepEqual(codes("7.1-rc7"), ["BG2016"]);
  assert.deepEqual(codes("7.1.0-rc1-next"), ["BG2016"]);
  assert.deepEqual(codes("7.1.0"), []);
  assert.deepEqual(codes("7.1.3-rc1"), [], "of a stable release");
  assert.deepEqual(codes("7.3.4-1~bpo13+1"), []);
  for (const release of ["nonsense", "7", "-1", "foo-7.3", ""]) {
    assert.deepEqual(codes(release), ["BG2054"], release);
  }
});

Deno.test("releases are ordered by numbers, not by letters", () => {
  assert.ok(isBefore(parseRelease("7.9.1"), parseRelease("7.10.0")));
  assert.ok(isBefore(parseRelease("7.1-rc1"), parseRelease("7.1")));
  assert.ok(!isBefore(parseRelease("7.1"), parseRelease("7.1-rc1")));
  assert.ok(!isBefore(parseRelease("nonsense"), parseRelease("7.1")), "which nobody knows");
});
