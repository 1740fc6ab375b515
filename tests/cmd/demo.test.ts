/** The demo as a whole, by an ordinary user. @module */
import assert from "node:assert/strict";
import { asOrdinaryUser, plainEnvironment } from "../support/ordinary_user.ts";
import { fromFileUrl } from "../support/paths.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));

async function demo(options: readonly string[] = [], root = ROOT) {
  const main = `${root}/cmd/main.ts`;
  const command = [Deno.execPath(), "run", "-A", "--no-prompt", main, "demo", ...options];
  const [program = "", ...args] = [...await asOrdinaryUser(), ...command];
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    clearEnv: true,
    env: plainEnvironment(),
    cwd: "/",
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

/** What differs from run to run: times, process ids, and whoever runs it. */
function masked(text: string): string {
  return text.replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, "TIME")
    .replaceAll(/process \d+, account .*\)/g, "process PID, account ME)")
    .replaceAll(/played by .* \(uid \d+\)/g, "played by ME")
    .replaceAll(/with \d+ devices? on/g, "with DEVICES on")
    .replaceAll(/sha256:[0-9a-f]{64}/g, "DIGEST");
}

const EXPECTED =
  `Bargate on a simulated host: no device, no root. Processes, descriptors and their ends are real.

1. validate
   examples/policies/cmb-to-edu.yaml: valid

2. plan
   simulated: Linux 7.3.4 with DEVICES on vfio-pci, from examples/hosts/laboratory.json; no device of this machine is touched
   cmb-to-edu/cmb-data -> cmb-to-edu/engine
     importer user nobody
     device   0000:01:00.0 (1b36:0010), /dev/vfio/devices/vfio0
     BAR 2    [0x1000, 0x3000)
     access   read-write
     expires  never
     on reset revoke
     ended by release, then hold, then close, with a grace of 2s where it can wait
     held by  memory decode off (over a reset too), else D3hot, else low power
     ioctl    0x3b75 280000000b0001000200000002000800000000000100000000100000000000000020000000000000

   on a simulated host
   policy DIGEST

3. export
   simulated: account nobody is played by ME
   to a program of its own: deno run examples/clients/receiver.ts
   bargate   TIME simulated 0000:01:00.0: device open
   bargate   TIME simulated cmb-to-edu/cmb-data: planned
   bargate   TIME simulated cmb-to-edu/cmb-data: exported, and seen to be alive
   bargate   TIME simulated engine: importer started (exec: process PID, account ME)
   bargate   TIME simulated cmb-to-edu/cmb-data: delivered
   importer  TIME hello
   importer  TIME granted cmb-to-edu/cmb-data 0x2000, 8192 bytes here
   importer  TIME read: BAR 2 of 0000:01:00.0, byte 0x1000 (simulated)

4. reset
   of 0000:01:00.0, by VFIO_DEVICE_RESET, as bargate reset asks for it
   bargate   TIME simulated cmb-to-edu/cmb-data: revoking (device-reset, operator: the demo)
   bargate   TIME simulated 0000:01:00.0: device held (hold: memory decode off)
   bargate   TIME simulated cmb-to-edu/cmb-data: ended (device-reset, by hold)
   bargate   TIME simulated 0000:01:00.0: device reset (operator: the demo)
   bargate   TIME simulated 0000:01:00.0: device closed
   importer  TIME revoked device-reset
   importer  TIME read: nothing
   importer  TIME let go of cmb-to-edu/cmb-data
   importer  TIME end

5. end
   bargate   TIME simulated engine: importer ended (pidfd: exit status 0)
   grants: 1; ends: 1 (device-reset, seen by hold); late: 0; descriptors left: 0
`;

Deno.test("the demo shows the whole way to a user without rights, in the same words each time", async () => {
  const { status, stdout, stderr } = await demo();
  assert.equal(stderr, "");
  assert.equal(masked(stdout), EXPECTED);
  assert.equal(status, 0);
});

Deno.test("the demo runs where the path of the checkout is none that an address can have", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate a#b%41 " });
  try {
    await Deno.chmod(folder, 0o755);
    await Deno.symlink(ROOT, `${folder}/checkout`);
    const { status, stdout, stderr } = await demo([], `${folder}/checkout`);
    assert.equal(stderr, "");
    assert.equal(masked(stdout), EXPECTED);
    assert.equal(status, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the demo for programs: a value a line, each marked as simulated, the sum last", async () => {
  const { status, stdout } = await demo(["--format", "jsonl"]);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.every(({ v, simulated }) => v === 1 && simulated === true));
  assert.ok(lines.every(({ event }) => event === undefined || event.simulated === true));
  const { grants, ends, late, descriptorsLeft } = lines.at(-1);
  assert.deepEqual([grants, ends, late, descriptorsLeft], [1, 1, 0, 0]);
  assert.equal(status, 0);
});
