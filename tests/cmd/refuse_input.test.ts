/** No verb writes over what it reads. @module */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate } from "./run_here.ts";
import { withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

/** A folder with a policy and the inventory of a host that it can be planned on. */
async function withInputs(
  use: (paths: { folder: string; policy: string; host: string }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const [policy, host] = [`${folder}/pol.yaml`, `${folder}/host.json`];
    await Deno.copyFile(`${ROOT}examples/policies/cmb-to-edu.yaml`, policy);
    await Deno.copyFile(`${ROOT}examples/hosts/laboratory.json`, host);
    await use({ folder, policy, host });
  });
}

async function assertKept(args: readonly string[], out: string, input: string): Promise<void> {
  const before = Deno.readTextFileSync(input);
  const { status, stderr, stdout } = await bargate([...args, "--out", out]);
  assert.equal(status, ExitStatus.usage, `${args}: ${stderr}`);
  assert.match(stderr, /error: Cannot write the \w+( \w+)? to .*: .*name another file$/m);
  assert.equal(stdout, "");
  assert.equal(Deno.readTextFileSync(input), before);
}

Deno.test("plan writes over no policy and no inventory that it reads, by whatever name", async () => {
  await withInputs(async ({ folder, policy, host }) => {
    const plan = ["plan", "--inventory", host];
    const [linked, also] = [`${folder}/linked.json`, `${folder}/also`];
    Deno.linkSync(policy, linked);
    Deno.symlinkSync(folder, also);
    await assertKept([...plan, policy], policy, policy);
    await assertKept([...plan, folder], policy, policy);
    await assertKept([...plan, policy], linked, policy);
    await assertKept([...plan, policy], `${also}/pol.yaml`, policy);
    await assertKept([...plan, `${also}/pol.yaml`], policy, policy);
    await assertKept([...plan, policy], host, host);
    await assertKept(["plan", "--sim", host, policy], host, host);
  });
});

Deno.test("plan writes over no policy that comes by standard input", async () => {
  await withInputs(async ({ policy, host }) => {
    const before = Deno.readTextFileSync(policy);
    const main = `${ROOT}cmd/main.ts`;
    const script = `exec "$0" run -A "$1" plan --inventory "$2" - --out "$3" < "$3"`;
    const { code } = await new Deno.Command("sh", {
      args: ["-c", script, Deno.execPath(), main, host, policy],
      stdout: "null",
      stderr: "null",
    }).output();
    assert.equal(code, ExitStatus.usage);
    assert.equal(Deno.readTextFileSync(policy), before);
  });
});

Deno.test("inventory and init write over no inventory that they read", async () => {
  await withInputs(async ({ host }) => {
    await assertKept(["inventory", "--redact", "--sim", host], host, host);
    await assertKept(["init", "--inventory", host, "--force"], host, host);
    await assertKept(["init", "--sim", host, "--force"], host, host);
  });
});

Deno.test("plan takes a new plan's place for an old one's", async () => {
  await withInputs(async ({ folder, policy, host }) => {
    const out = `${folder}/plan.json`;
    Deno.writeTextFileSync(out, "old");
    const { status } = await bargate(["plan", "--inventory", host, policy, "--out", out]);
    assert.equal(status, ExitStatus.done);
    assert.match(Deno.readTextFileSync(out), /"ExportPlan"/);
  });
});

Deno.test("init writes over no file, unless it is told to", async () => {
  await withInputs(async ({ folder, host }) => {
    const out = `${folder}/first.yaml`;
    Deno.writeTextFileSync(out, "edited");
    const init = ["init", "--inventory", host, "--out", out];
    const refused = await bargate(init);
    assert.equal(refused.status, ExitStatus.usage);
    assert.match(refused.stderr, /there is a file already; name another one, or give --force/);
    assert.equal(Deno.readTextFileSync(out), "edited");
    assert.equal((await bargate([...init, "--force"])).status, ExitStatus.done);
    assert.match(Deno.readTextFileSync(out), /kind: ExportPolicy/);
  });
});
