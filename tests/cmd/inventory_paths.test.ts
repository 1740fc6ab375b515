import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { inventoryPaths } from "../../cmd/inventory_paths.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate } from "./run_here.ts";
import { withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const POLICY = `${ROOT}examples/policies/cmb-to-edu.yaml`;
const HOST = `${ROOT}examples/hosts/laboratory.json`;

async function withFleet(use: (folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (parent) => {
    const folder = `${parent}/fl[e]et*`;
    Deno.mkdirSync(`${folder}/rack`, { recursive: true });
    for (const name of ["a.json", "b.json", "rack/C.JSON"]) {
      Deno.copyFileSync(HOST, `${folder}/${name}`);
    }
    for (const name of [".hidden.json", "notes.md"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "");
    }
    await use(folder);
  });
}

Deno.test("a folder or a pattern stands for the inventories in it, a file for itself", async () => {
  await withFleet((folder) => {
    const all = [`${folder}/a.json`, `${folder}/b.json`, `${folder}/rack/C.JSON`];
    assert.deepEqual(inventoryPaths([folder]), all);
    assert.deepEqual(inventoryPaths([`${folder}/`]), all);
    const parent = folder.replace(/\/[^/]*$/, "");
    assert.deepEqual(inventoryPaths([`${parent}/*/[ab].json`]), all.slice(0, 2));
    assert.deepEqual(inventoryPaths([`${folder}/b.json`, "absent.json"]), [all[1], "absent.json"]);
    assert.throws(
      () => inventoryPaths([`${parent}/*/*.yaml`, `${ROOT}examples/policies`]),
      /Cannot find a file that matches .*\n.*Cannot find an inventory in .*: no \*\.json is below/,
    );
    return Promise.resolve();
  });
});

Deno.test("preflight looks at each host of a folder, with no right but to read files", async () => {
  await withFleet(async (folder) => {
    const args = ["preflight", POLICY, "--inventory", folder, "--format", "json"];
    const { status, stdout, stderr } = await bargate(args);
    assert.equal(status, ExitStatus.done, stderr);
    const hosts = JSON.parse(stdout).hosts.map(({ host }: { host: string }) => host);
    assert.deepEqual(hosts, [`${folder}/a.json`, `${folder}/b.json`, `${folder}/rack/C.JSON`]);
  });
});

Deno.test("inventories that a shell has made policies are told from them", async () => {
  await withFleet(async (folder) => {
    const [a, b, c] = [`${folder}/a.json`, `${folder}/b.json`, `${folder}/rack/C.JSON`];
    const { status, stderr } = await bargate(["preflight", "--inventory", a, b, c, POLICY]);
    assert.equal(status, ExitStatus.usage);
    assert.match(
      stderr,
      /^error: Cannot take .*b\.json and 1 more for policies: a HostSnapshot is/,
    );
    assert.match(stderr, /repeat --inventory .* or quote a pattern/);
  });
});
