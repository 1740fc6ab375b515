import assert from "node:assert/strict";
import { buildFraction, isBuildStep } from "../../lab/kernel/build_progress.ts";
import { LabOutput } from "../../lab/output.ts";

for (
  const [line, step] of [
    ["  CC      mm/slab.o", true],
    ["  LD [M]  x.ko", true],
    ["  AR      built-in.a", true],
    ["  VDSO2C  arch/x86/entry/vdso/vdso-image-64.c", true],
    ["make[1]: Entering directory", false],
    ["Kernel: arch/x86/boot/bzImage is ready  (#1)", false],
    ["#", false],
    ["", false],
  ] as const
) {
  Deno.test(`isBuildStep() says ${step} of ${JSON.stringify(line)}`, () => {
    assert.equal(isBuildStep(line), step);
  });
}

Deno.test("buildFraction() grows and never says that the build is done", () => {
  assert.equal(buildFraction(0), 0);
  assert.ok(buildFraction(1000) < buildFraction(2000));
  assert.ok(buildFraction(1_000_000) < 1);
});

function recorder(isTerminal: boolean) {
  const written: string[] = [];
  let now = 0;
  const sink = { isTerminal, write: (text: string) => void written.push(text) };
  return {
    written,
    output: new LabOutput(sink, true, () => now),
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
  };
}

Deno.test("LabOutput prints a progress line only now and then without a terminal", () => {
  const { written, output, pass } = recorder(false);
  output.progress("Building", 0);
  pass(14_000);
  output.progress("Building", 0.1);
  pass(1_000);
  output.progress("Building", 0.257);
  assert.deepEqual(written, ["Building: 0 %\n", "Building: 25 %\n"]);
});

Deno.test("LabOutput redraws its bar on a terminal and clears it before a line", () => {
  const { written, output, pass } = recorder(true);
  output.progress("Building", 0);
  pass(200);
  output.progress("Building", 0.5);
  output.line("done");
  assert.equal(written[1], `\r\x1b[KBuilding [${"#".repeat(15)}${"-".repeat(15)}] 50 %`);
  assert.deepEqual(written.slice(2), ["\r\x1b[K", "done\n"]);
});

Deno.test("LabOutput paints on a terminal only", () => {
  assert.equal(recorder(false).output.paint("red", "x"), "x");
  assert.equal(recorder(true).output.paint("red", "x"), "\x1b[31mx\x1b[0m");
});
