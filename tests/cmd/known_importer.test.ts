/** `--importer` means the same with every verb. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate, withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const HOST = `${ROOT}examples/hosts/laboratory.json`;
const ALL = { rights: ["-A"] };
const EXPLAIN = ["--device", "cmb-ssd", "--bar", "2", "--offset", "0", "--length", "4KiB"];

const IDLE = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: b }
devices: { cmb-ssd: { match: { id: "1b36:0010", address: "0000:01:00.0" } } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
  idle: { identity: { user: nobody }, driver: iommufd }
`;

/** Two policies with an importer of one name, and an importer that gets nothing. */
async function withPolicies(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const text = Deno.readTextFileSync(`${ROOT}examples/policies/cmb-to-edu.yaml`);
    Deno.writeTextFileSync(`${folder}/a.yaml`, text.replace("name: cmb-to-edu", "name: a"));
    Deno.writeTextFileSync(`${folder}/b.yaml`, IDLE);
    await use(folder);
  });
}

function commands(folder: string): readonly (readonly string[])[] {
  return [
    ["plan", "--inventory", HOST, folder],
    ["preflight", "--inventory", HOST, folder],
    ["export", "--sim", HOST, folder, "--exec"],
    ["explain", ...EXPLAIN, folder],
  ];
}

async function told(args: readonly string[], importer: string) {
  const program = args[0] === "export" ? ["--", "/bin/true"] : [];
  return await bargate([...args, "--importer", importer, ...program], ALL);
}

Deno.test("an importer that no policy has is a usage error, with the name that may be meant", async () => {
  await withPolicies(async (folder) => {
    for (const args of commands(folder)) {
      const { status, stderr } = await told(args, "b/egine");
      assert.equal(status, ExitStatus.usage, `${args}: ${stderr}`);
      assert.match(stderr, /no policy has an importer b\/egine; did you mean b\/engine\?/);
    }
  });
});

Deno.test("an importer's name that two policies have is a usage error, with the names to write", async () => {
  await withPolicies(async (folder) => {
    for (const args of commands(folder)) {
      const { status, stderr } = await told(args, "engine");
      assert.equal(status, ExitStatus.usage, `${args}: ${stderr}`);
      assert.match(stderr, /not the only one of its name: write a\/engine or b\/engine/);
    }
  });
});

Deno.test("an importer that gets nothing is denied", async () => {
  await withPolicies(async (folder) => {
    for (const args of commands(folder).slice(0, 3)) {
      const { status, stderr } = await told(args, "idle");
      assert.equal(status, ExitStatus.denied, `${args}: ${stderr}`);
    }
  });
});
