import assert from "node:assert/strict";
import { kernelFindings } from "../../engine/kernel_version.ts";
import { isBefore, parseRelease } from "../../host/kernel_release.ts";

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

Deno.test("a release candidate is one however its distribution writes it", () => {
  const told = (release: string) =>
    kernelFindings(release, false).map(({ diagnostic: { code, message } }) => `${code} ${message}`);
  for (
    const release of [
      "7.1.0-0.rc3.27.fc45.x86_64",
      "7.1.0-070100rc3-generic",
      "7.1.0+rc2",
      "7.1~rc2-amd64",
    ]
  ) {
    const [found] = told(release);
    assert.match(found ?? "", /^BG2016 .* comes before 7\.1, and may not wait yet/, release);
  }
  for (const release of ["7.1.0-arc1", "7.1.0-12-src2", "7.1.2-0.rc1.fc45", "7.1.0-rcu"]) {
    assert.deepEqual(told(release), [], release);
  }
  assert.match(
    told("6.19.0-rc8")[0] ?? "",
    /^BG2015 .* comes before 6\.19, and may have no .* yet/,
  );
  assert.match(told("6.18.0")[0] ?? "", /^BG2015 .* has no dma-buf export/);
  assert.match(told("7.0.0")[0] ?? "", /^BG2016 .* does not wait/);
});

Deno.test("releases are ordered by numbers, not by letters", () => {
  assert.ok(isBefore(parseRelease("7.9.1"), parseRelease("7.10.0")));
  assert.ok(isBefore(parseRelease("7.1-rc1"), parseRelease("7.1")));
  assert.ok(!isBefore(parseRelease("7.1"), parseRelease("7.1-rc1")));
  assert.ok(!isBefore(parseRelease("nonsense"), parseRelease("7.1")), "which nobody knows");
});
