/** Where an NVMe controller has its memory buffer, by the bytes of its registers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  baseIsInvalid,
  controllerMemoryOf,
  enablingControl,
  showingControl,
} from "../../host/nvme_cmb.ts";

/** CAP of a controller with 2048 entries a queue, with and without CMBS (bit 57). */
const PLAIN = 0x0000_0020_0f01_07ffn;
const WITH_CMBS = PLAIN | 1n << 57n;

function bytes(cap: bigint, cmbloc: number, cmbsz: number): [Uint8Array, Uint8Array] {
  const [capabilities, location] = [new Uint8Array(8), new Uint8Array(8)];
  new DataView(capabilities.buffer).setBigUint64(0, cap, true);
  new DataView(location.buffer).setUint32(0, cmbloc, true);
  new DataView(location.buffer).setUint32(4, cmbsz, true);
  return [capabilities, location];
}

Deno.test("a buffer that is not enabled is told from none", () => {
  const state = (cap: bigint) => controllerMemoryOf(...bytes(cap, 0, 0));
  assert.deepEqual(state(PLAIN), { is: "read", memory: { state: "none" } });
  assert.deepEqual(state(WITH_CMBS), { is: "read", memory: { state: "disabled" } });
});

Deno.test("a buffer that is enabled is where location and size say, in units of its size unit", () => {
  const cases: readonly [
    cmbloc: number,
    cmbsz: number,
    bar: number,
    offset: bigint,
    size: bigint,
  ][] = [
    // QEMU, 16 MiB: BAR 2, units of 1 MiB, all uses allowed.
    [0x0000_000a, 0x0001_021f, 2, 0n, 16n << 20n],
    [0x0000_0002, 0x0000_1000, 2, 0n, 4096n],
    [0x0000_3004, 0x0000_2100, 4, 3n << 16n, 2n << 16n],
    [0x0000_1000, 0x0000_1600, 0, 64n << 30n, 64n << 30n],
    [0xffff_f005, 0xffff_f600, 5, 0xf_ffffn << 36n, 0xf_ffffn << 36n],
  ];
  for (const cap of [PLAIN, WITH_CMBS]) {
    for (const [cmbloc, cmbsz, bar, offset, size] of cases) {
      // All ones but for the reserved bits is no answer of a controller that has gone.
      assert.deepEqual(controllerMemoryOf(...bytes(cap, cmbloc, cmbsz)), {
        is: "read",
        memory: { state: "enabled", bar, offset, size },
      });
    }
  }
});

Deno.test("what no controller says is said to be nonsense", () => {
  const cases: readonly [cap: bigint, cmbloc: number, cmbsz: number, why: RegExp][] = [
    [0xffff_ffff_ffff_ffffn, 0xffff_ffff, 0xffff_ffff, /does not answer/],
    [WITH_CMBS, 0xffff_ffff, 0x1000, /does not answer/],
    [WITH_CMBS, 0x1, 0x1000, /no BAR 1 .*CMBLOC 0x1/],
    [WITH_CMBS, 0x7, 0x1000, /no BAR 7/],
    [WITH_CMBS, 0x2, 0x1700, /size unit 7 .*CMBSZ 0x1700/],
  ];
  for (const [cap, cmbloc, cmbsz, why] of cases) {
    const answer = controllerMemoryOf(...bytes(cap, cmbloc, cmbsz));
    assert.match(answer.is === "nonsense" ? answer.why : "", why);
  }
  const short = controllerMemoryOf(new Uint8Array(8), new Uint8Array(4));
  assert.match(short.is === "nonsense" ? short.why : "", /received 8 and 4/);
});

Deno.test("any registers are decoded, and what is enabled has a BAR, a size and an end", () => {
  const register = fc.uint8Array({ minLength: 8, maxLength: 8 });
  fc.assert(fc.property(register, register, (capabilities, location) => {
    const answer = controllerMemoryOf(capabilities, location);
    if (answer.is !== "read" || answer.memory.state !== "enabled") return;
    const { bar, offset, size } = answer.memory;
    assert.ok([0, 2, 3, 4, 5].includes(bar) && size > 0n && offset + size < 1n << 64n);
  }));
});

Deno.test("a buffer is enabled by CRE, CMSE and its address, which is a multiple of 4 KiB", () => {
  const { upper, lower } = enablingControl(0x1234_5678_9abc_dfffn);
  assert.deepEqual([upper.toHex(), lower.toHex()], ["78563412", "03d0bc9a"]);
  assert.equal(showingControl().toHex(), "01000000", "to have it told, CRE alone");
  assert.ok(baseIsInvalid(new Uint8Array([1, 0, 0, 0])));
  assert.ok(!baseIsInvalid(new Uint8Array([0xfe, 0xff, 0xff, 0xff])));
});
