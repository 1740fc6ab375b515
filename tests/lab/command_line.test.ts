import assert from "node:assert/strict";
import { commandLine, type MachineDescription } from "../../lab/machine/command_line.ts";
import { initScript, shellQuote } from "../../lab/machine/init_script.ts";
import { labDevices } from "../../lab/machine/topology.ts";

const MACHINE: MachineDescription = {
  kernel: "/k/bzImage",
  initramfs: "/t/initramfs",
  devices: labDevices("/t/ivshmem"),
  exchange: "/tmp/a,b",
  logSocket: "/t/log",
  messageSocket: "/t/messages",
  terminal: false,
};

function valuesOf(args: readonly string[], option: string): readonly string[] {
  return args.flatMap((arg, index) => arg === option ? [args[index + 1] ?? ""] : []);
}

Deno.test("commandLine() shows the host's root read-only and nothing else of the host", () => {
  const shares = valuesOf(commandLine(MACHINE), "-fsdev");
  assert.equal(shares.length, 2);
  assert.match(shares[0] ?? "", /path=\/,.*readonly=on,multidevs=remap/);
  assert.match(shares[1] ?? "", /path=\/tmp\/a,,b,/, "a comma in a path is written twice");
});

Deno.test("commandLine() has the processor that is asked for, or the usual one", () => {
  assert.deepEqual(valuesOf(commandLine(MACHINE), "-cpu"), ["max"]);
  assert.deepEqual(valuesOf(commandLine({ ...MACHINE, processor: "EPYC" }), "-cpu"), ["EPYC"]);
});

Deno.test("commandLine() has no network", () => {
  const args = commandLine(MACHINE);
  assert.ok(args.includes("-nodefaults"));
  assert.deepEqual(args.filter((arg) => /netdev|-nic|-net\b/.test(arg)), []);
});

Deno.test("commandLine() puts the IOMMU before the devices that it serves", () => {
  assert.match(valuesOf(commandLine(MACHINE), "-device")[0] ?? "", /^intel-iommu/);
});

Deno.test("commandLine() gives the terminal only when asked to", () => {
  const serial = (terminal: boolean) => valuesOf(commandLine({ ...MACHINE, terminal }), "-serial");
  assert.deepEqual(serial(false), ["chardev:log"]);
  assert.deepEqual(serial(true), ["chardev:log", "chardev:terminal"]);
});

Deno.test("labDevices() has a role, an address and a slot for each device", () => {
  const devices = labDevices("/t/ivshmem");
  const distinct = (values: readonly string[]) => new Set(values).size;
  assert.equal(distinct(devices.map((device) => device.role)), devices.length);
  assert.equal(distinct(devices.map((device) => device.address)), devices.length);
  const slots = valuesOf(commandLine(MACHINE), "-device")
    .flatMap((device) => /addr=(0x\w+)/.exec(device)?.[1] ?? []);
  assert.equal(distinct(slots), slots.length);
});

Deno.test("initScript() quotes what the shell would take apart", () => {
  const script = initScript({
    folder: "/it's here",
    environment: { A: "b $c" },
    command: ["/bin/deno", "two words"],
    terminal: "console",
  });
  assert.ok(script.includes(`cd '/it'\\''s here'`));
  assert.ok(script.includes("export A='b $c'"));
  assert.ok(script.includes("'/bin/deno' 'two words' </dev/console"));
});

Deno.test("shellQuote() survives a shell", async () => {
  const word = `it's "$HOME" \`x\` \\ *`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", `printf %s ${shellQuote(word)}`] })
    .output();
  assert.equal(new TextDecoder().decode(stdout), word);
});

Deno.test("the init script is one that a shell can parse", async () => {
  const script = initScript({
    folder: "/",
    environment: {},
    command: ["/bin/true"],
    terminal: "ttyS1",
  });
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, script);
    const { success, stderr } = await new Deno.Command("sh", { args: ["-n", file] }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(file);
  }
});
