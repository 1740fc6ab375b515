/** A way up is no longer than a PCI domain has buses, and looking costs no more than walking it. */
import assert from "node:assert/strict";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { IMPOSSIBLE, SOUND, writeLargeHost } from "../support/large_hosts.ts";

/** The address of a bridge in a chain. */
function bridge(depth: number): string {
  return `0000:${(depth & 0xff).toString(16).padStart(2, "0")}:0${depth >> 8}.0`;
}

/** Bridges, each below the one before it. */
function chain(bridges: number): Uint8Array {
  const functions = Array.from({ length: bridges }, (_, depth) => ({
    address: bridge(depth),
    vendor: "1b36",
    device: "000c",
    class: "060400",
    parent: depth === 0 ? "pci0000:00" : bridge(depth - 1),
    resetMethods: [],
    config: "361b0c00".padEnd(128, "0"),
    bars: [],
    unreadable: [],
  }));
  return new TextEncoder().encode(JSON.stringify({
    apiVersion: "bargate/v1",
    kind: "HostSnapshot",
    kernel: { release: "7.3.4" },
    pageSize: 4096,
    iommu: [],
    functions,
  }));
}

Deno.test("as many bridges stand above a function as a domain has buses, and no more", () => {
  assert.deepEqual(parseSnapshot(chain(256)).problems, []);
  for (const [length, told] of [[257, "/functions/256/parent"], [400, "/functions/256/parent"]]) {
    const { snapshot, problems } = parseSnapshot(chain(Number(length)));
    assert.equal(snapshot, undefined);
    assert.deepEqual(problems.map(({ kind, pointer }) => [kind, pointer]), [["bad-parent", told]]);
  }
});

async function parsed(functions: Parameters<typeof writeLargeHost>[1]) {
  const path = await Deno.makeTempFile({ prefix: "bargate-test-" });
  try {
    writeLargeHost(path, functions);
    return parseSnapshot(await Deno.readFile(path));
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("hosts that cannot be are told with pointers, however many functions they have", async (t) => {
  for (const [name, shape] of Object.entries(IMPOSSIBLE)) {
    await t.step(name, async () => {
      const { snapshot, problems } = await parsed(shape(5000));
      assert.equal(snapshot, undefined);
      assert.ok(problems.length <= 101, `${problems.length}`);
      for (const { kind, pointer } of problems) {
        if (kind !== "more-problems") assert.match(pointer, /^\/functions\/\d+\/(?:parent|cdev)$/);
      }
    });
  }
});

Deno.test("hosts that could be are taken, however many functions they have", async (t) => {
  for (const [name, shape] of Object.entries(SOUND)) {
    await t.step(name, async () => assert.deepEqual((await parsed(shape(2000))).problems, []));
  }
});
