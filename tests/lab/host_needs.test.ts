import assert from "node:assert/strict";
import { requireSpace } from "../../lab/disk_space.ts";
import { exec } from "../../lab/exec.ts";
import { describeLabError, LabError } from "../../lab/lab_error.ts";
import { findProgram, missingPackages } from "../../lab/packages.ts";
import { cacheFolder } from "../../lab/places.ts";

Deno.test("requireSpace() says how much is free and how much is needed", () => {
  assert.throws(
    () => requireSpace("/", 2 ** 80, "build the kernel"),
    (error: unknown) =>
      error instanceof LabError && error.fix !== undefined &&
      /^Cannot build the kernel: \/ has [\d.]+ GiB free, [\d.]+ GiB are needed$/
        .test(error.message),
  );
  requireSpace("/", 1, "build the kernel");
});

Deno.test("missingPackages() names each package once, by program and by file", () => {
  const missing = missingPackages([
    { package: "shell", proof: "sh" },
    { package: "libc", proof: "/proc/self/status" },
    { package: "nothing", proof: "bargate-no-such-program" },
    { package: "nothing", proof: "/nonexistent/header.h" },
    { package: "folder", proof: "/proc" },
  ]);
  assert.deepEqual(missing, ["nothing", "folder"]);
});

Deno.test("findProgram() gives an absolute path", () => {
  assert.match(findProgram("sh") ?? "", /^\/.*\/sh$/);
  assert.equal(findProgram("bargate-no-such-program"), undefined);
});

Deno.test("cacheFolder() follows XDG_CACHE_HOME, then HOME", () => {
  assert.equal(cacheFolder({ XDG_CACHE_HOME: "/c", HOME: "/h" }), "/c/bargate/lab");
  assert.equal(cacheFolder({ XDG_CACHE_HOME: "", HOME: "/h" }), "/h/.cache/bargate/lab");
  assert.throws(() => cacheFolder({ XDG_CACHE_HOME: "c", HOME: "/h" }), /no absolute path \(c\)/);
});

Deno.test("exec() gives the output, and each line as it comes", async () => {
  const lines: string[] = [];
  const output = await exec("try", ["sh", "-c", "echo one; echo two"], {
    limitMs: 10_000,
    onLine: (line) => lines.push(line),
  });
  assert.equal(output, "one\ntwo");
  assert.deepEqual(lines, ["one", "two"]);
});

Deno.test("exec() names the task, the status and the last lines of what failed", async () => {
  const error = await exec("try", ["sh", "-c", "echo broken >&2; exit 3"], { limitMs: 10_000 })
    .catch((e) => e);
  assert.ok(error instanceof LabError);
  assert.deepEqual(describeLabError(error), [
    "Cannot try: sh ended with status 3",
    "  | broken",
  ]);
});

Deno.test("exec() ends what does not end in time", async () => {
  const error = await exec("try", ["sleep", "1000"], { limitMs: 50 }).catch((e) => e);
  assert.ok(error instanceof LabError);
  assert.match(error.message, /^Waited 0\.1 s for sleep to end, which was to try, in vain$/);
});
