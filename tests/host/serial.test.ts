import assert from "node:assert/strict";
import fc from "fast-check";
import { serialOf } from "../../host/serial.ts";
import { runs } from "../support/runs.ts";

const SERIAL = "00-1b-21-ff-ff-a0-12-34";

/** Extended configuration space with a chain of capabilities, each `[offset, id]`. */
function chain(links: readonly (readonly [at: number, id: number])[]): Uint8Array {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  links.forEach(([at, id], index) => {
    const next = links[index + 1]?.[0] ?? 0;
    view.setUint32(at, ((next << 20) | 0x1_0000 | id) >>> 0, true);
    if (id !== 3) return;
    view.setUint32(at + 4, 0xffa0_1234, true);
    view.setUint32(at + 8, 0x001b_21ff, true);
  });
  return config;
}

Deno.test("serialOf() finds the number wherever in the chain it stands", () => {
  const known = { is: "known", serial: SERIAL };
  assert.deepEqual(serialOf({ config: chain([[0x100, 3]]) }), known);
  assert.deepEqual(serialOf({ config: chain([[0x100, 1], [0x148, 3], [0x160, 0xd]]) }), known);
  // vfio leaves a capability that it hides as one without an id.
  assert.deepEqual(serialOf({ config: chain([[0x100, 0], [0xff0, 3]]) }), known);
});

Deno.test("serialOf() tells a function without a number from one that was not seen whole", () => {
  assert.deepEqual(serialOf({ config: chain([[0x100, 1]]) }), { is: "none" });
  assert.deepEqual(serialOf({ config: new Uint8Array(4096) }), { is: "none" });
  assert.equal(serialOf({ config: new Uint8Array(64) }).is, "unreadable");
  const whole = chain([[0x100, 1], [0x148, 3]]);
  assert.equal(serialOf({ config: whole.slice(0, 0x150) }).is, "unreadable", "cut within");
  assert.equal(serialOf({ config: whole.slice(0, 0x148) }).is, "unreadable", "cut before");
});

Deno.test("serialOf() knows that conventional PCI has no more than 256 bytes", () => {
  const config = new Uint8Array(256);
  assert.equal(serialOf({ config }).is, "none");
  const view = new DataView(config.buffer);
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  view.setUint8(0x40, 0x10);
  assert.equal(serialOf({ config }).is, "unreadable", "PCI Express has");
});

Deno.test("serialOf() does not take what nobody answered, or a broken chain, for none", () => {
  assert.equal(serialOf({ config: new Uint8Array(4096).fill(0xff) }).is, "unreadable");
  const silent = chain([]).fill(0xff, 0x100);
  assert.equal(serialOf({ config: silent }).is, "unreadable", "all of the extended space");
  const cut = chain([[0x100, 1], [0x148, 2]]).fill(0xff, 0x148);
  assert.equal(serialOf({ config: cut }).is, "unreadable", "from some place on");
  const low = chain([[0x100, 1]]);
  new DataView(low.buffer).setUint32(0x100, 0x0401_0001, true);
  assert.equal(serialOf({ config: low }).is, "unreadable", "a chain that leads out of the space");
  const circle = chain([[0x100, 1], [0x200, 2]]);
  new DataView(circle.buffer).setUint32(0x200, 0x1001_0002, true);
  assert.equal(serialOf({ config: circle }).is, "unreadable", "a circle");
  const nothing = chain([[0x100, 1], [0x148, 0]]).fill(0, 0x148);
  assert.equal(serialOf({ config: nothing }).is, "none", "a null capability is the last one");
});

Deno.test("serialOf() ends on any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (config) => {
      const found = serialOf({ config });
      if (found.is === "known") assert.match(found.serial, /^[0-9a-f]{2}(?:-[0-9a-f]{2}){7}$/);
    }),
    { numRuns: runs(500) },
  );
});
