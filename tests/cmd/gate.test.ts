/** The script of docs/gate.md does what is said there. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { fromFileUrl } from "../support/paths.ts";
import { withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const DECODER = new TextDecoder();

function scriptOfDocument(): string {
  const text = Deno.readTextFileSync(`${ROOT}docs/gate.md`);
  const [, script] = /```sh\n(#!\/bin\/sh\n.*?)```/s.exec(text) ?? [];
  assert.ok(script !== undefined);
  return script;
}

/** A repository with a policy and a host, and what is needed to work in it. */
class Repository {
  constructor(private readonly folder: string) {
    const main = `${ROOT}cmd/main.ts`;
    const shim =
      `#!/bin/sh\nexec '${Deno.execPath()}' run --quiet --no-prompt --allow-read '${main}' "$@"\n`;
    Deno.mkdirSync(`${folder}/bin`);
    Deno.writeTextFileSync(`${folder}/bin/bargate`, shim, { mode: 0o755 });
    Deno.mkdirSync(`${folder}/checkout/fleet`, { recursive: true });
    Deno.mkdirSync(`${folder}/checkout/policies`);
    Deno.writeTextFileSync(`${folder}/gate.sh`, scriptOfDocument());
    Deno.copyFileSync(`${ROOT}examples/hosts/laboratory.json`, this.at("fleet/a.json"));
  }

  at(path: string): string {
    return `${this.folder}/checkout/${path}`;
  }

  async run(program: string, ...args: readonly string[]) {
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args: [...args],
      cwd: `${this.folder}/checkout`,
      env: {
        PATH: `${this.folder}/bin:${Deno.env.get("PATH") ?? ""}`,
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_CONFIG_SYSTEM: "/dev/null",
      },
    }).output();
    return { code, text: DECODER.decode(stdout) + DECODER.decode(stderr) };
  }

  async git(...args: readonly string[]): Promise<void> {
    const person = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    const { code, text } = await this.run("git", ...person, ...args);
    assert.equal(code, 0, text);
  }

  gate() {
    return this.run("sh", `${this.folder}/gate.sh`, "HEAD");
  }
}

const POLICY = "policies/cmb.yaml";
const TESTS = `apiVersion: bargate/v1
kind: PolicyTest
metadata: { name: registers }
cases:
  - name: nobody gets the registers
    request: { importer: engine, device: cmb-ssd, bar: 0, offset: 0, length: 4KiB }
    expect: { decision: denied }
`;

Deno.test("the gate of the documentation passes what is sound, and stops what is not", async () => {
  await withFolder(async (folder) => {
    const repository = new Repository(folder);
    await repository.git("init", "--quiet");
    await repository.git("commit", "--quiet", "--allow-empty", "--message", "nothing yet");
    const path = repository.at(POLICY);
    Deno.copyFileSync(`${ROOT}examples/policies/cmb-to-edu.yaml`, path);
    Deno.writeTextFileSync(repository.at("policies/tests.yaml"), TESTS);
    const first = await repository.gate();
    assert.equal(first.code, ExitStatus.denied, first.text);
    assert.match(first.text, /1 of 1 host ready[^]*gain/);
    await repository.git("add", ".");
    await repository.git("commit", "--quiet", "--message", "a policy");
    const same = await repository.gate();
    assert.equal(same.code, ExitStatus.done, same.text);
    const text = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, text.replace("length: 8KiB", "length: 16KiB"));
    const more = await repository.gate();
    assert.equal(more.code, ExitStatus.denied, more.text);
    Deno.writeTextFileSync(path, text.replace("0000:01:00.0", "0000:09:00.0"));
    const elsewhere = await repository.gate();
    assert.equal(elsewhere.code, ExitStatus.hostNotReady, elsewhere.text);
    Deno.writeTextFileSync(path, text.replace("bar: 2", "bar: 9"));
    const wrong = await repository.gate();
    assert.equal(wrong.code, ExitStatus.invalidPolicy, wrong.text);
  });
});
