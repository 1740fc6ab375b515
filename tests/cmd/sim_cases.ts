/**
 * Verbs on a simulated host: real processes, and no device. Run by `sim.test.ts`, all by one ordinary
 * user, for who sends to whom is checked.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { isThere } from "../../cmd/is_there.ts";
import { plainEnvironment } from "../support/ordinary_user.ts";
import { withFolder } from "./run_verb.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const MAIN = `${ROOT}cmd/main.ts`;
const POLICY = `${ROOT}examples/policies/cmb-to-edu.yaml`;
const HOST = `${ROOT}examples/hosts/laboratory.json`;
const RECEIVER = `${ROOT}examples/clients/receiver.ts`;
const SSD = "0000:01:00.0";
const ANNOUNCED = /^simulated: Linux 7\.3\.4 .*no device of this machine is touched\n/;
/** Root cannot be played by anybody else. */
const USER = Deno.uid() === 0 ? "root" : "nobody";

function start(folder: string, args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...args],
    clearEnv: true,
    env: { ...plainEnvironment(), XDG_RUNTIME_DIR: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

function bargate(folder: string, ...args: readonly string[]): Deno.ChildProcess {
  return start(folder, ["run", "-A", "--no-prompt", MAIN, ...args]);
}

async function answer(child: Deno.ChildProcess) {
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

/** The example's policy, for whoever runs this. */
async function policyIn(folder: string): Promise<string> {
  const path = `${folder}/policy.yaml`;
  const text = await Deno.readTextFile(POLICY);
  await Deno.writeTextFile(path, text.replace("user: nobody", `user: ${USER}`));
  return path;
}

/** Lines of a stream, as they come. */
class Lines {
  readonly all: string[] = [];
  readonly #reader: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Reads until a line is as wanted. */
  async until(wanted: (line: string) => boolean): Promise<void> {
    while (!this.all.some(wanted)) {
      if (!await this.#more()) assert.fail(`it ended: ${this.all.join("\n")}`);
    }
  }

  /** Reads to the end. */
  async end(): Promise<readonly string[]> {
    while (await this.#more());
    return this.all;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    const lines = `${this.#rest}${value ?? ""}`.split("\n");
    this.#rest = lines.pop() ?? "";
    this.all.push(...lines);
    return !done;
  }
}

Deno.test("plan --sim says that it is of a simulated host, to people and to programs", async () => {
  await withFolder(async (folder) => {
    const told = await answer(bargate(folder, "plan", "--sim", HOST, POLICY));
    assert.equal(told.status, ExitStatus.done, told.stderr);
    assert.match(told.stderr, ANNOUNCED);
    assert.match(told.stdout, /^on a simulated host$/m);
    const json = await answer(bargate(folder, "plan", "--sim", HOST, "--format", "json", POLICY));
    assert.equal(JSON.parse(json.stdout).simulated, true);
    assert.equal(JSON.parse(json.stdout).grants.length, 1);
  });
});

/** The laboratory, of which the first controller has a memory buffer that is not enabled. */
async function withMemory(folder: string): Promise<string> {
  const host = JSON.parse(await Deno.readTextFile(HOST));
  const ssd = host.functions.find(({ address }: { address: string }) => address === SSD);
  ssd.controllerMemory = { state: "disabled", bar: 2, offset: "0x0", size: "0x1000000" };
  const path = `${folder}/host.json`;
  await Deno.writeTextFile(path, JSON.stringify(host));
  return path;
}

async function memoryPolicy(folder: string, device: string): Promise<string> {
  const path = `${folder}/memory-${device.length}.yaml`;
  await Deno.writeTextFile(
    path,
    `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: memory }
devices: { ssd: { match: { id: "1b36:0010", address: "${SSD}" }${device} } }
importers: { engine: { identity: { user: ${USER} }, driver: iommufd } }
exports:
  - { name: cmb, device: ssd, bar: 2, region: nvme.cmb, importers: [engine] }
`,
  );
  return path;
}

Deno.test("a controller's memory buffer is where the snapshot says, and is enabled to be exported", async () => {
  await withFolder(async (folder) => {
    const host = await withMemory(folder);
    const enabling = await memoryPolicy(folder, ", enableCmb: true");
    const plan = `${folder}/plan.json`;
    const unknown = await answer(bargate(folder, "plan", "--sim", HOST, enabling));
    assert.equal(unknown.status, ExitStatus.hostNotReady);
    assert.match(unknown.stderr, /BG2025/);
    const planned = await answer(bargate(folder, "plan", "--sim", host, enabling, "--out", plan));
    assert.equal(planned.status, ExitStatus.done, planned.stderr);
    assert.match(planned.stdout, /not enabled: CMBMSC is written \(enableCmb\), 030000fc00000000/);
    const run = ["--allow-same-user", "--format", "jsonl", "--exec", "--", "/bin/true"];
    const exported = await answer(
      bargate(folder, "export", "--sim", host, enabling, "--plan", plan, ...run),
    );
    assert.equal(exported.status, ExitStatus.done, exported.stderr);
    const types = exported.stdout.trim().split("\n").map((line) => JSON.parse(line).type);
    assert.deepEqual(types.slice(0, 4), ["device-opened", "memory-enabled", "planned", "exported"]);
    const preflight = await answer(
      bargate(folder, "preflight", "--sim", host, "--live", enabling),
    );
    assert.equal(preflight.status, ExitStatus.done, preflight.stdout);

    const plain = await memoryPolicy(folder, "");
    const refused = await answer(bargate(folder, "export", "--sim", host, plain, ...run));
    assert.equal(refused.status, ExitStatus.hostNotReady);
    assert.match(refused.stderr, /BG2026.*not enabled[^]*enableCmb: true/);
    for (const file of ["--sim", "--inventory"]) {
      const probed = await answer(bargate(folder, "plan", file, host, "--probe", enabling));
      assert.equal(probed.status, ExitStatus.usage, "nobody is there to be asked");
    }
    const read = await answer(bargate(folder, "plan", "--inventory", host, enabling));
    assert.equal(read.status, ExitStatus.done, "where it will be the inventory says");
  });
});

Deno.test("inventory --sim tells just what the snapshot says", async () => {
  await withFolder(async (folder) => {
    const told = await answer(bargate(folder, "inventory", "--sim", HOST, "--format", "json"));
    assert.equal(told.status, ExitStatus.done);
    assert.match(told.stderr, ANNOUNCED);
    assert.equal(told.stdout, await Deno.readTextFile(HOST));
  });
});

Deno.test("export --sim gives a real process its slice, and reset --sim takes it back", async () => {
  await withFolder(async (folder) => {
    const policy = await policyIn(folder);
    const guardian = bargate(
      folder,
      ...["export", "--sim", HOST, policy, "--format", "jsonl", "--allow-same-user"],
      ...["--exec", "--", Deno.execPath(), "run", "-A", "--quiet", RECEIVER],
    );
    // The program's words go to standard error: standard output is for events.
    const [events, words] = [new Lines(guardian.stdout), new Lines(guardian.stderr)];
    await words.until((line) => line === `read: BAR 2 of ${SSD}, byte 0x1000 (simulated)`);

    const real = await answer(bargate(folder, "reset", SSD));
    assert.equal(real.status, ExitStatus.hostNotReady);
    assert.match(real.stderr, /no running bargate of this account has it open/);
    const reset = await answer(bargate(folder, "reset", "--sim", SSD));
    assert.equal(
      reset.stdout,
      `${SSD} (simulated) has been reset; grants ended: 1, restored or renewed: 0\n`,
    );

    const said = await words.end();
    assert.match(`${said[0]}\n`, ANNOUNCED);
    const GRANTED = "granted cmb-to-edu/cmb-data 0x2000, 8192 bytes here";
    assert.deepEqual(said.slice(said.indexOf(GRANTED)), [
      GRANTED,
      `read: BAR 2 of ${SSD}, byte 0x1000 (simulated)`,
      "revoked device-reset",
      "read: nothing",
      "let go of cmb-to-edu/cmb-data",
      "end",
    ]);
    const told = (await events.end()).map((line) => JSON.parse(line));
    assert.ok(told.every(({ simulated }) => simulated === true), "every event says so");
    assert.deepEqual(told.filter(({ type }) => type === "ended").map(({ reason }) => reason), [
      "device-reset",
    ]);
    assert.equal((await guardian.status).code, ExitStatus.done);
    if (Deno.uid() === 0) return;
    assert.deepEqual([...Deno.readDirSync(`${folder}/bargate`)], [], "no socket is left");
  });
});

Deno.test("a second signal kills a program that ignores the first, once its grants have ended", async () => {
  await withFolder(async (folder) => {
    const line = "trap '' TERM INT; echo ready >&2; while :; do sleep 1; done";
    const guardian = bargate(
      folder,
      ...["export", "--sim", HOST, await policyIn(folder), "--allow-same-user"],
      ...["--exec", "--", "/bin/sh", "-c", line],
    );
    const words = new Lines(guardian.stderr);
    await words.until((text) => text === "ready");
    guardian.kill("SIGTERM");
    await words.until((text) => text.includes("importer asked to end"));
    // What follows at once counts as an echo of the first.
    const again = setInterval(() => guardian.kill("SIGTERM"), 300);
    await words.until((text) => text.includes("importer killed (signal: SIGTERM)"));
    clearInterval(again);
    const said = await words.end();
    assert.ok(!said.some((text) => text.includes("before all grants had ended")));
    assert.equal((await guardian.status).code, 128 + 9);
    await guardian.stdout.cancel();
    const left = [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".sock"));
    assert.deepEqual(left, [], "no socket is left");
  });
});

/** Somebody who has used it keeps it. */
const FALLBACK = `/tmp/bargate-${Deno.uid()}`;

Deno.test({
  name: "export --sim needs no XDG_RUNTIME_DIR",
  ignore: Deno.uid() === 0 || isThere(FALLBACK),
  fn: () =>
    withFolder(async (folder) => {
      const policy = await policyIn(folder);
      try {
        const args = ["--sim", HOST, policy, "--allow-same-user", "--exec", "--", "true"];
        const { status, stderr } = await answer(bargate("", "export", ...args));
        assert.equal(status, ExitStatus.done, stderr);
        const { mode } = await Deno.lstat(FALLBACK);
        assert.equal((mode ?? 0) & 0o777, 0o700);
        const reset = await answer(bargate("", "reset", "--sim", SSD));
        assert.match(reset.stderr, /no running bargate of this account .* on a simulated host/);
      } finally {
        await Deno.remove(FALLBACK);
      }
    }),
});

Deno.test("export --sim --send: a process that was there before gets a real descriptor", async () => {
  await withFolder(async (folder) => {
    const socket = `${folder}/importer.sock`;
    const importer = start(folder, ["run", "-A", "--quiet", RECEIVER, socket]);
    const words = new Lines(importer.stdout);
    await words.until((line) => line === "listening");
    const policy = await policyIn(folder);
    const guardian = bargate(
      folder,
      ...["export", "--sim", HOST, policy, "--format", "json", "--allow-same-user"],
      ...["--send", socket],
    );
    await words.until((line) => line.startsWith("read: BAR 2"));
    const reset = await answer(
      bargate(folder, "reset", "--sim", "--method", "decode", "--format", "json", SSD),
    );
    const done = JSON.parse(reset.stdout);
    assert.deepEqual([done.device, done.ended, done.failed, done.simulated], [SSD, 1, 0, true]);
    const { status, stdout } = await answer(guardian);
    assert.equal(status, ExitStatus.done);
    const { events } = JSON.parse(stdout) as { events: { simulated?: boolean }[] };
    assert.ok(events.length > 0 && events.every(({ simulated }) => simulated === true));
    const said = await words.end();
    assert.deepEqual(said.slice(said.indexOf("revoked decode-off")), [
      "revoked decode-off",
      "read: nothing",
      "let go of cmb-to-edu/cmb-data",
      "end",
    ]);
    assert.equal((await importer.status).code, 0);
    await importer.stderr.cancel();
  });
});

Deno.test("what a simulated host cannot have is refused, and said", async () => {
  await withFolder(async (folder) => {
    const policy = await policyIn(folder);
    const borrowing = `${folder}/borrowing.yaml`;
    const text = await Deno.readTextFile(POLICY);
    const owner = "acquire: borrow\n    owner: { user: nobody, executable: /usr/bin/spdk_tgt }";
    await Deno.writeTextFile(
      borrowing,
      text.replace("    match:", `    ${owner}\n    match:`)
        .replace("    onReset: revoke", "    revocation: cooperative"),
    );
    const TRUE = ["--exec", "--", "/bin/true"];
    const wrong: readonly (readonly [readonly string[], ExitStatus, RegExp])[] = [
      [["export", "--sim", HOST, policy, ...TRUE], ExitStatus.hostNotReady, /--allow-same-user/],
      [
        ["export", "--sim", HOST, borrowing, ...TRUE],
        ExitStatus.hostNotReady,
        /on a simulated host no other process has a device open/,
      ],
      [
        ["export", "--sim", HOST, POLICY, "--gate-resets", ...TRUE],
        ExitStatus.usage,
        /--sim goes without --gate-resets/,
      ],
      [
        ["plan", "--sim", POLICY, POLICY],
        ExitStatus.hostNotReady,
        /BG2101[^]*cmb-to-edu\.yaml:1:1/,
      ],
      [
        ["export", "--sim", POLICY, policy, ...TRUE],
        ExitStatus.hostNotReady,
        /BG2101[^]*cmb-to-edu\.yaml:1:1/,
      ],
      [
        ["plan", "--sim", "/nonexistent", POLICY],
        ExitStatus.usage,
        /Cannot read the inventory \/nonexistent/,
      ],
    ];
    for (const [args, status, message] of wrong) {
      const ran = await answer(bargate(folder, ...args));
      assert.match(ran.stderr, message);
      assert.equal(ran.status, status, args.join(" "));
    }
  });
});

Deno.test("export --plan does what was planned, and nothing where the host or the policy is another", async () => {
  await withFolder(async (folder) => {
    const policy = await policyIn(folder);
    const [planFile, marker] = [`${folder}/plan.json`, `${folder}/started`];
    const made = await answer(bargate(folder, "plan", "--sim", HOST, policy, "--out", planFile));
    assert.equal(made.status, ExitStatus.done, made.stderr);
    assert.match(made.stdout, /^ {2}ioctl {4}0x3b75 /m, "people are told all the same");
    assert.match(made.stderr, /plan written to .*plan\.json\n/);
    assert.equal(((await Deno.stat(planFile)).mode ?? 0) & 0o777, 0o600);
    const again = await answer(bargate(folder, "plan", "--sim", HOST, policy, "--out", "-"));
    assert.equal(again.stdout, await Deno.readTextFile(planFile));

    const moved = `${folder}/moved.json`;
    const host = await Deno.readTextFile(HOST);
    await Deno.writeTextFile(moved, host.replace("devices/vfio0", "devices/vfio70"));
    const other = `${folder}/other.yaml`;
    const text = await Deno.readTextFile(policy);
    await Deno.writeTextFile(other, text.replace("onReset: revoke", "onReset: restore"));
    const spoiled = `${folder}/spoiled.json`;
    await Deno.writeTextFile(spoiled, again.stdout.replace("bargate/v1", "bargate/v9"));

    const program = ["--exec", "--", "/bin/touch", marker];
    const run = (plan: string, snapshot: string, ...more: readonly string[]) =>
      answer(
        bargate(
          folder,
          ...["export", "--plan", plan, "--sim", snapshot, "--allow-same-user", ...more],
          ...program,
        ),
      );
    const refused: readonly (readonly [readonly string[], ExitStatus, RegExp])[] = [
      [[planFile, moved, policy], ExitStatus.hostNotReady, /BG2311.*devices\/vfio70/],
      [[planFile, HOST, other], ExitStatus.denied, /BG2310.*are not those that were planned/],
      [[spoiled, HOST, policy], ExitStatus.hostNotReady, /BG2304.*bargate\/v9/],
      [[planFile, HOST, policy, "--route", "group"], ExitStatus.usage, /asked for with route/],
      [[`${folder}/none`, HOST, policy], ExitStatus.usage, /Cannot read the plan/],
    ];
    for (const [[plan, snapshot, ...more], status, message] of refused) {
      const ran = await run(plan ?? "", snapshot ?? "", ...more);
      assert.equal(ran.status, status, ran.stderr);
      assert.match(ran.stderr, message);
      assert.equal(ran.stdout, "");
    }
    const json = await run(planFile, moved, policy, "--format", "json");
    const [first] = JSON.parse(json.stdout).diagnostics;
    assert.deepEqual([first.code, first.pointer], ["BG2311", "/grants/0/device/node"]);
    assert.equal(isThere(marker), false, "nothing was started");

    const ran = await run(planFile, HOST, policy);
    assert.equal(ran.status, ExitStatus.done, ran.stderr);
    assert.equal(isThere(marker), true);
  });
});

Deno.test("plan --out keeps no plan by which nothing could be exported", async () => {
  await withFolder(async (folder) => {
    const out = `${folder}/plan.json`;
    const bare = `${folder}/bare.json`;
    const text = await Deno.readTextFile(HOST);
    await Deno.writeTextFile(bare, text.replaceAll('"driver": "vfio-pci"', '"driver": "nvme"'));
    const ran = await answer(bargate(folder, "plan", "--sim", bare, POLICY, "--out", out));
    assert.equal(ran.status, ExitStatus.hostNotReady, ran.stderr);
    assert.match(ran.stderr, /no plan written to .*: nothing could be exported\n/);
    assert.equal(isThere(out), false);
  });
});
