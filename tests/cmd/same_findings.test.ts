/** A host is the same host, whether it is looked at as a file or as it stands (here: simulated). */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate } from "./run_verb.ts";

const LABORATORY = fromFileUrl(new URL("../../examples/hosts/laboratory.json", import.meta.url));

/** Nothing but the importer's device makes functions other than the exporter matter. */
function policy(device: string): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" } }
importers:
  a: { identity: { user: nobody }, driver: iommufd, device: ${device} }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64KiB }], importers: [a] }
`;
}

async function planned(stdin: string, where: "--sim" | "--inventory") {
  const { status, stdout, stderr } = await bargate(
    ["plan", "--format", "json", where, LABORATORY, "-"],
    { stdin, rights: ["-A"] },
  );
  const { diagnostics } = JSON.parse(stdout === "" ? "{}" : stdout);
  assert.ok(Array.isArray(diagnostics), stderr);
  return [status, diagnostics.map(({ code, message }) => [code, message])];
}

Deno.test("an importer's device is looked for among all functions of the host", async (t) => {
  const cases: readonly [string, ExitStatus][] = [
    [`{ id: "1b36:0010" }`, ExitStatus.hostNotReady],
    [`{ address: "0000:00:14.0" }`, ExitStatus.done],
    [`{ address: "0000:04:00.0" }`, ExitStatus.hostNotReady],
  ];
  for (const [device, status] of cases) {
    await t.step(device, async () => {
      const asFile = await planned(policy(device), "--inventory");
      assert.deepEqual(await planned(policy(device), "--sim"), asFile);
      assert.equal(asFile[0], status, JSON.stringify(asFile));
    });
  }
});
