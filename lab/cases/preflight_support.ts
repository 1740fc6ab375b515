/** What `preflight` would say of a policy at this moment, without the command line. @module */
import assert from "node:assert/strict";
import { namesOfThisHost } from "../../cmd/host_names.ts";
import { type Preflight, preflight } from "../../engine/preflight/preflight.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { kernelRelease, pageSize } from "../../ffi/process.ts";
import { readOwnAccount, readOwnLimits } from "../../host/own_process.ts";
import { readKernelConfig } from "../../host/kernel_config.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";

/**
 * Looks at this host.
 *
 * @param text of a policy
 * @param flags of `bargate export` that decide the plan
 * @returns undefined if the policy is invalid
 */
export async function preflightHere(
  text: string,
  flags: readonly string[] = [],
): Promise<Preflight | undefined> {
  const { set } = loadPolicySet([{ file: "policy.yaml", text }]);
  if (set === undefined) return undefined;
  const files = new LinuxFiles();
  const release = kernelRelease();
  const { config } = await readKernelConfig(files, release);
  assert.ok(config !== undefined, "the laboratory's kernel says how it was built");
  const host = { release, pageSize: pageSize(), config };
  const [account, limits] = [readOwnAccount(files), readOwnLimits(files)];
  assert.ok(account !== undefined && limits !== undefined, "procfs says who and how much");
  const [importer, route] = [valueOf(flags, "--importer"), valueOf(flags, "--route")];
  return preflight(set, readSnapshot(files, host).snapshot, {
    account,
    limits,
    source: "this-host",
    names: namesOfThisHost(files),
    ...(importer === undefined ? {} : { importer }),
    ...(route === "group" || route === "cdev" ? { route } : {}),
  });
}

function valueOf(flags: readonly string[], name: string): string | undefined {
  const at = flags.indexOf(name);
  return at < 0 ? undefined : flags[at + 1];
}

/** What can be exported must not be called impossible beforehand. */
export async function assertNoFalseAlarm(
  text: string,
  flags: readonly string[] = [],
): Promise<void> {
  const found = await preflightHere(text, flags);
  const errors = found?.diagnostics.filter(({ severity }) => severity === "error");
  assert.deepEqual(errors, [], "a false alarm of preflight");
}
