/** From `init` to an export, by way of what it writes. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { join } from "../path.ts";
import { endOf, LabExport } from "./support.ts";

/** Bargate is started five times, on a machine that others use too. */
const LIMIT_MS = 360_000;
const START_MS = 120_000;

/** The first example, as a person would make it count. */
function edited(text: string): string {
  const account = text.replace("user: change-me", "user: nobody");
  assert.notEqual(account, text, "the account is to be given");
  return account.replaceAll(/^#(?!#)/gm, "");
}

async function fromInitToExport(context: CaseContext): Promise<void> {
  const { nvme, nativeNvme } = context.devices;
  const [host, first] = [join(context.scratch, "host.json"), join(context.scratch, "first.yaml")];
  const only = ["--device", nvme.address];
  // Only the controller knows that what its BAR holds is memory.
  const asked = await context.bargate(["inventory", ...only, "--probe", "--out", host], {
    limitMs: START_MS,
  });
  assert.equal(asked.status, 0, asked.stderr);
  const wrote = await context.bargate(["init", "--inventory", host, ...only, "--out", first], {
    limitMs: START_MS,
  });
  assert.equal(wrote.status, 0, wrote.stderr);
  const text = await Deno.readTextFile(first);
  assert.ok(text.includes(`address: "${nvme.address}"`));
  assert.ok(!text.includes(nativeNvme.address));
  const none = await context.bargate(["plan", first, "--format", "json"], { limitMs: START_MS });
  assert.equal(none.status, 1, "it allows nothing");
  assert.match(none.stdout, /"BG2014"/);

  const policy = edited(text);
  const lab = await LabExport.startWith(context, policy);
  const fds = await lab.importer.must("fds");
  const name = `nvme-${nvme.address.replaceAll(":", "-")}-bar2`;
  assert.equal(fds[name], 3, JSON.stringify(fds));
  await lab.map(name);
  assert.equal(await lab.finish(), 0);
  assert.equal(endOf(lab.events).reason, "importer-gone");
}

/** Cases of first policies. */
export const cases: readonly LabCase[] = [
  {
    name: "init: of the guest it allows nothing, and an example of it, uncommented, is exported",
    limitMs: LIMIT_MS,
    run: fromInitToExport,
  },
];
