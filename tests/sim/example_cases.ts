/**
 * Every example policy on its example hosts, exported to real processes: run by `hosted.test.ts` in a
 * process of its own.
 *
 * @module
 */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import { Words } from "../../cmd/demo_importer.ts";
import { systemClock } from "../../engine/clock.ts";
import { type Event, EventLog } from "../../engine/event.ts";
import { Guardian } from "../../engine/guardian.ts";
import { makePlan, type Plan, type PlannedGrant } from "../../engine/plan.ts";
import { StartedProgram } from "../../engine/started_program.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { filesOf, hosted, leavingNothing } from "./hosted_support.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);
const hosts = namesIn("hosts/", ".json").map((name) => [name, hostOf(name)] as const);
const policies = namesIn("policies/", ".yaml");

function namesIn(folder: string, ending: string): readonly string[] {
  return [...Deno.readDirSync(new URL(folder, EXAMPLES))].map(({ name }) => name)
    .filter((name) => name.endsWith(ending)).sort();
}

function hostOf(name: string): HostSnapshot {
  const { snapshot } = parseSnapshot(Deno.readFileSync(new URL(`hosts/${name}`, EXAMPLES)));
  assert.ok(snapshot !== undefined, name);
  return snapshot;
}

function planOf(policy: string, host: HostSnapshot): Plan | undefined {
  const text = Deno.readTextFileSync(new URL(`policies/${policy}`, EXAMPLES));
  const { set } = loadPolicySet([{ file: policy, text }], { pageSize: host.pageSize });
  if (set === undefined) return undefined;
  const facts = { release: host.kernel.release, pageSize: host.pageSize };
  return makePlan(set, readSnapshot(filesOf(host), facts).snapshot);
}

/** Prints of each buffer its size and its first line. */
const LOOKS = 'for fd in "$@"; do wc -c < /proc/self/fd/$fd; head -n 1 <&$fd; done; echo end';

/** Exports one importer's grants to a shell. */
async function exported(host: HostSnapshot, plan: Plan): Promise<void> {
  const [kernel, files] = [hosted(host), filesOf(host)];
  const events: Event[] = [];
  const log = new EventLog(plan.policy, Date.now, (event) => events.push(event));
  const guardian = new Guardian(plan, { kernel, clock: systemClock, log, limitMs: 30_000, files });
  const given = plan.grants.filter(({ importer }) => importer.mapping === "importer");
  const [ours, theirs] = kernel.socketPair("words");
  const words = new Words(kernel, ours);
  const account = { uid: kernel.uid, gid: Deno.gid() ?? 0, name: "me" };
  const source = new StartedProgram("shell", {
    recipient: { account, executable: "/bin/sh" },
    argv: ["sh", "-c", LOOKS, "sh", ...given.map((_, index) => `${3 + index}`)],
    env: { PATH: "/usr/bin:/bin" },
    stdoutToStderr: false,
    stdout: theirs,
  });
  await guardian.meet(source);
  await guardian.open();
  const end = await guardian.run(source);
  await words.waitFor("end");
  kernel.close(theirs);
  words.close();
  assert.deepEqual(end, { child: { how: "exited", status: 0 }, trouble: false });
  assert.deepEqual(words.said.map(({ text }) => text), [...given.flatMap(seenOf), "end"]);
  const ended = events.filter(({ type }) => type === "ended");
  assert.equal(ended.length, plan.grants.length);
  assert.ok(ended.every(({ reason, means }) => reason === "importer-gone" && means !== undefined));
  assert.equal(kernel.table.size, 0);
}

function seenOf({ ranges, bar, device }: PlannedGrant): readonly string[] {
  const size = ranges.reduce((sum, { length }) => sum + length, 0n);
  const at = `byte 0x${ranges[0]?.offset.toString(16)}`;
  return [`${size}`, `BAR ${bar} of ${device.address}, ${at} (simulated)`];
}

Deno.test("each example policy can be exported on a simulated example host", async (t) => {
  const tried = new Set<string>();
  for (const policy of policies) {
    for (const [name, host] of hosts) {
      const plan = planOf(policy, host);
      if (plan === undefined) continue;
      const importers = Map.groupBy(plan.grants, ({ importerName }) => importerName);
      for (const [importer, grants] of importers) {
        tried.add(policy);
        await t.step(`${policy} on ${name}: ${importer}`, async () => {
          await leavingNothing(() => exported(host, { ...plan, grants }));
        });
      }
    }
  }
  assert.deepEqual([...tried], policies);
});
