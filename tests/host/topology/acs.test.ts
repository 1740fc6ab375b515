/** Access Control Services from raw bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { accessControl, redirectBits } from "../../../host/topology/acs.ts";
import { serialOf } from "../../../host/serial.ts";
import { findExtendedCapability } from "../../../host/topology/extended_capability.ts";

/** Configuration space with these extended headers. */
function withHeaders(headers: Readonly<Record<number, number>>, bytes = 4096): Uint8Array {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  for (const [at, header] of Object.entries(headers)) view.setUint32(Number(at), header, true);
  return config.subarray(0, bytes);
}

Deno.test("the list is followed, and ends", () => {
  const config = withHeaders({ 0x100: 0x1481_0001, 0x148: 0xffc1_0003, 0xffc: 0x0001_000d });
  assert.equal(findExtendedCapability(config, 0x0d), 0xffc);
  assert.equal(accessControl(config), "unread", "the register would lie behind the end");
  assert.equal(findExtendedCapability(config, 0x0e), "absent");
  assert.equal(findExtendedCapability(withHeaders({}), 0x0d), "absent");
});

Deno.test("a list that loops, leads into the header, or out of the bytes ends too", () => {
  assert.equal(findExtendedCapability(withHeaders({ 0x100: 0x1001_0001 }), 0x0d), "absent");
  assert.equal(findExtendedCapability(withHeaders({ 0x100: 0x0401_0001 }), 0x0d), "absent");
  const cut = withHeaders({ 0x100: 0x2001_0001, 0x200: 0x0001_000d }, 0x200);
  assert.equal(findExtendedCapability(cut, 0x0d), "unread");
  assert.equal(redirectBits(cut), undefined);
});

Deno.test("how much was read decides what is known", () => {
  const config = withHeaders({ 0x100: 0x0001_000d });
  new DataView(config.buffer).setUint16(0x106, 0x2c, true);
  const bits = ["request-redirect", "completion-redirect", "egress-control"];
  assert.deepEqual(redirectBits(config), bits);
  assert.equal(redirectBits(config.subarray(0, 64)), undefined);
  assert.equal(redirectBits(config.subarray(0, 255)), undefined);
  assert.deepEqual(redirectBits(config.subarray(0, 256)), []);
  assert.equal(redirectBits(config.subarray(0, 260)), undefined);
  assert.equal(redirectBits(new Uint8Array(4096).fill(0xff)), undefined, "a function that is gone");
});

Deno.test("without its extended space a function of PCI Express says nothing of it", () => {
  const config = withHeaders({}, 256);
  assert.equal(findExtendedCapability(config, 0x0d), "absent", "conventional PCI");
  config[0x06] = 0x10;
  config[0x34] = 0x40;
  config[0x40] = 0x05;
  assert.equal(findExtendedCapability(config, 0x0d), "absent", "with other capabilities");
  config[0x40] = 0x10;
  assert.equal(findExtendedCapability(config, 0x0d), "unread");
  assert.equal(redirectBits(config), undefined);
  assert.equal(serialOf({ config }).is, "unreadable", "and the serial number is there");
  const gone = new Uint8Array(256).fill(0xff);
  assert.equal(findExtendedCapability(gone, 0x0d), "unread");
  assert.equal(serialOf({ config: gone }).is, "unreadable");
});

Deno.test("any bytes of any length are read without a fault", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    const place = findExtendedCapability(bytes, 0x0d);
    assert.ok(typeof place === "string" || (place >= 256 && place + 4 <= bytes.length));
    redirectBits(bytes);
  }));
});
