import assert from "node:assert/strict";
import fc from "fast-check";
import {
  comparePciAddresses,
  formatPciAddress,
  isPciAddress,
  meantPciAddress,
  parsePciAddress,
  PCI_ADDRESS_PATTERN,
  type PciPlace,
} from "../../host/address.ts";
import hostSchema from "../../host/snapshot.schema.json" with { type: "json" };
import policySchema from "../../policy/schema.json" with { type: "json" };
import { loadPolicySet } from "../../policy/load.ts";

const places: fc.Arbitrary<PciPlace> = fc.record({
  domain: fc.oneof(fc.nat(0xffff), fc.constantFrom(0xffff, 0x10000), fc.nat(0x7fffffff)),
  bus: fc.nat(0xff),
  device: fc.nat(0x1f),
  function: fc.nat(7),
}, { noNullPrototype: true });

Deno.test("an address is read and printed back the same, in every domain", () => {
  fc.assert(fc.property(places, (place) => {
    const address = formatPciAddress(place);
    assert.ok(isPciAddress(address), address);
    assert.deepEqual(parsePciAddress(address), place);
    assert.equal(address.length, 8 + Math.max(4, place.domain.toString(16).length));
  }));
});

Deno.test("every other spelling is none, and leads to the one there is", () => {
  fc.assert(fc.property(places, fc.integer({ min: 1, max: 4 }), (place, zeros) => {
    const address = formatPciAddress(place);
    for (const other of ["0".repeat(zeros) + address, ` ${address}`, `${address}\n`]) {
      assert.ok(!isPciAddress(other), other);
      assert.equal(meantPciAddress(other), address);
    }
    assert.equal(meantPciAddress(address.toUpperCase()), address);
  }));
  assert.equal(meantPciAddress("e1:00.0"), "0000:e1:00.0");
  for (const none of ["", "10000", "100000000:e1:00.0", "0000:e1:20.0", "0000:e1:00.8"]) {
    assert.equal(meantPciAddress(none), undefined, none);
  }
});

Deno.test("isPciAddress takes addresses as sysfs writes them and nothing else", () => {
  for (const good of ["0000:00:1f.7", "10000:e1:00.0"]) assert.ok(isPciAddress(good));
  for (const bad of ["0000:00:20.0", "0000:00:1f.8", "0000:00:1F.0", "00:1f.0", "0000:00:1f.0\n"]) {
    assert.ok(!isPciAddress(bad), bad);
  }
});

Deno.test("addresses sort by their numbers", () => {
  const key = ({ domain, bus, device, function: fn }: PciPlace) =>
    domain * 2 ** 16 + bus * 2 ** 8 + device * 8 + fn;
  fc.assert(fc.property(fc.array(places), (list) => {
    const byNumber = list.toSorted((a, b) => key(a) - key(b)).map(formatPciAddress);
    assert.deepEqual(list.map(formatPciAddress).sort(comparePciAddresses), byNumber);
  }));
});

Deno.test("policies, snapshots and the code know the same addresses", () => {
  const anchored = `^${PCI_ADDRESS_PATTERN}$`;
  assert.equal(policySchema.$defs.pciAddress.pattern, anchored);
  assert.equal(policySchema.$defs.match.properties.address.pattern, anchored);
  assert.equal(hostSchema.$defs.address.pattern, anchored);
});

Deno.test("a policy that writes an address in another way is told the right one", () => {
  const fixes = ["00010000:e1:00.0", "10000:E1:00.0", "0010000:E1:00.0"].map((address) => {
    const text = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: p }
devices: { ssd: { match: { address: "${address}" } } }
`;
    const { diagnostics } = loadPolicySet([{ file: "p.yaml", text }]);
    return diagnostics.find(({ code }) => code === "BG1108")?.fix;
  });
  assert.deepEqual(fixes, Array(3).fill('write "10000:e1:00.0"'));
});
