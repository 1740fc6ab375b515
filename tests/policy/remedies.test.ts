/** What a diagnostic says to do: the right spelling, and one that is accepted when it is written. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { loadPolicySet } from "../../policy/load.ts";

const POLICY = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  ssd: { match: { id: "1b36:0010", address: "0000:03:00.0", iommuGroup: 8, barSizes: { 2: 1MiB } } }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: 0, length: 64KiB }], importers: [engine] }
`;

function told(text: string) {
  return loadPolicySet([{ file: "demo.yaml", text }]).diagnostics;
}

/** What is right, what is written instead, and what is said to it. */
const REMEDIES: readonly (readonly [right: string, wrong: string, code: string, fix: string])[] = [
  ["bar: 2", "bar: 02", "BG1114", "write 2"],
  ["bar: 2", "bar: +2", "BG1114", "write 2"],
  ["bar: 2", "bar: 0o2", "BG1114", "write 2"],
  ["bar: 2", "bar: 9", "BG1106", "write one of 0 to 5"],
  ["bar: 2", 'bar: "2"', "BG1104", "write 2"],
  ["bar: 2", "bar: 2.0", "BG1104", "write 2"],
  ["iommuGroup: 8", "iommuGroup: 010", "BG1114", "write 10, or 8 if octal was meant"],
  ["iommuGroup: 8", "iommuGroup: 8e0", "BG1104", "write 8"],
  ["iommuGroup: 8", "iommuGroup: eight", "BG1104", "write a whole number"],
  ["iommuGroup: 8", "iommuGroup: -8", "BG1106", "write 0 or more"],
  ["{ 2: 1MiB }", "{ 02: 1MiB }", "BG1101", 'did you mean "2"?'],
  ["{ 2: 1MiB }", "{ 12: 1MiB }", "BG1101", "use one of 0, 1, 2, 3, 4, 5"],
  ['"0000:03:00.0"', "0000:03:00.0", "BG1109", 'write "0000:03:00.0"'],
  ['"0000:03:00.0"', "03:00.0", "BG1108", 'write "0000:03:00.0"'],
  [
    '"0000:03:00.0"',
    "03:00.A",
    "BG1108",
    'write domain:bus:device.function, lower case, as in "0000:03:00.0"',
  ],
  [
    "length: 64KiB",
    "length: 18446744073709551615",
    "BG1402",
    "choose other bytes: the whole pages around these do not lie in the BAR",
  ],
  [
    "length: 64KiB",
    "length: 0xff801",
    "BG1402",
    "the whole pages around it are { offset: 0x0, length: 0x100000 }: write that only if the importer may have [0xff801, 0x100000) too",
  ],
  [
    "length: 64KiB",
    "length: 0x100001",
    "BG1402",
    "choose other bytes: the whole pages around these do not lie in the BAR",
  ],
  [
    "offset: 0, length: 64KiB",
    "offset: 0x1800, length: rest",
    "BG1401",
    "the whole pages around it are { offset: 0x1000, length: rest }: write that only if the importer may have [0x1000, 0x1800) too",
  ],
  ["driver: iommufd", "driver: mlx5_core", "BG1501", "did you mean mlx5?"],
  ["driver: iommufd", "driver: ice", "BG1501", "did you mean irdma?"],
  [
    "user: nobody",
    "cgroup: nvmf.service",
    "BG1110",
    "write the path from the root, as in /system.slice/nvmf.service",
  ],
  [
    "user: nobody",
    "user: nobody, executable: nvmf_tgt",
    "BG1110",
    "write the path from the root, as in /usr/bin/nvmf_tgt",
  ],
  ["length: 64KiB", "length: 0X10000", "BG1201", "write 0x10000"],
  ["length: 64KiB", "length: 65536.0", "BG1201", "write 65536"],
  ["length: 64KiB", "length: 0o200000", "BG1201", "write 65536"],
  ["length: 64KiB", "length: 0.5MiB", "BG1201", "write 512KiB"],
  ["importers: [engine]", "expires: 1.5h, importers: [engine]", "BG1203", "write 90m"],
  ...["0", "0s", "0.0h", "00"].map((zero) =>
    [
      "importers: [engine]",
      `expires: ${zero}, importers: [engine]`,
      "BG1203",
      "write a longer time, or remove the key",
    ] as const
  ),
  ["iommuGroup: 8", 'iommuGroup: "8"', "BG1104", "write 8"],
  ['"1b36:0010"', '"1B36:0010"', "BG1108", 'write "1b36:0010"'],
  [
    '"1b36:0010"',
    '"1b36"',
    "BG1108",
    'write vendor:device in lower-case hexadecimal, as in "144d:a80a"',
  ],
  ["importers: [engine]", "grace: 5S, importers: [engine]", "BG1203", "write 5s"],
  ["importers: [engine]", "expires: 8 h, importers: [engine]", "BG1203", "write 8h"],
  ["importers: [engine]", 'shared: "true", importers: [engine]', "BG1104", "write true"],
  ["length: 64KiB", "length: Rest", "BG1201", "write rest"],
  ["kind: ExportPolicy", "kind: exportpolicy", "BG1105", "did you mean ExportPolicy?"],
  ["kind: ExportPolicy", "kind: Rules", "BG1105", "write ExportPolicy or PolicySet or PolicyTest"],
  ["importers: [engine]", "importers: engine", "BG1104", "write it as a list: [engine]"],
  ["importers: [engine]", "shared: yes, importers: [engine]", "BG1104", "write true"],
];

Deno.test("what is said to do is the right spelling, and nothing else is told", async (t) => {
  assert.deepEqual(told(POLICY), []);
  for (const [right, wrong, code, fix] of REMEDIES) {
    await t.step(wrong, () => {
      assert.ok(POLICY.includes(right));
      const found = told(POLICY.replace(right, wrong));
      const first = found.filter((each) => each.code !== "BG1409" && each.code !== "BG1709");
      assert.deepEqual(first.map((each) => [each.code, each.fix]), [[code, fix]]);
    });
  }
});

Deno.test("a value that is to be written is accepted where it is written", () => {
  for (const [right, wrong, , fix] of REMEDIES) {
    const value = /^write ("[^"]+"|[0-9a-z]+)$/.exec(fix)?.[1];
    if (value === undefined) continue;
    const place = wrong.includes(": ") ? `${wrong.split(": ")[0]}: ${value}` : value;
    const codes = told(POLICY.replace(right, wrong.includes(",") ? right : place))
      .filter(({ code }) => code !== "BG1709");
    assert.deepEqual(codes, [], `${wrong} → ${fix}`);
  }
});

Deno.test("whole pages that are named hold the slice, lie in the BAR, and what else they give is said", () => {
  const number = fc.nat(1 << 22).map(BigInt);
  const page = fc.constantFrom(4096, 16384, 65536);
  fc.assert(fc.property(number, number, page, fc.boolean(), (offset, length, pageSize, sized) => {
    const text = POLICY.replace("offset: 0, length: 64KiB", `offset: ${offset}, length: ${length}`)
      .replace(", barSizes: { 2: 1MiB }", sized ? ", barSizes: { 2: 1MiB }" : "");
    const { diagnostics } = loadPolicySet([{ file: "demo.yaml", text }], { pageSize });
    for (const { code, fix = "" } of diagnostics) {
      if (code !== "BG1401" && code !== "BG1402") continue;
      const [whole, besides = ""] = fix.split(": write that only if the importer may have ");
      const named = /\{ offset: (0x[0-9a-f]+), length: (0x[0-9a-f]+) \}$/.exec(whole ?? "");
      const [start, size] = (named ?? []).slice(1).map(BigInt);
      if (start === undefined || size === undefined) {
        assert.match(fix, /^choose other bytes/);
        assert.ok(sized);
        continue;
      }
      const end = start + size;
      assert.ok(start <= offset && offset + length <= end && start % BigInt(pageSize) === 0n);
      assert.ok(size % BigInt(pageSize) === 0n && (!sized || end <= 1n << 20n));
      const more = [...besides.matchAll(/\[(0x[0-9a-f]+), (0x[0-9a-f]+)\)/g)]
        .reduce((sum, [, from = "0", to = "0"]) => sum + BigInt(to) - BigInt(from), 0n);
      assert.equal(more, size - length);
    }
  }));
});

const OTHER_DOCUMENTS: readonly (readonly [text: string, message: RegExp, fix: RegExp])[] = [
  ["apiVersion: bargate/v1\nkind: HostSnapshot\nfunctions: []\n", /a HostSnapshot$/, /--inventory/],
  ["apiVersion: bargate/v1\nkind: ExportPlan\ngrants: []\n", /an ExportPlan$/, /--plan/],
  ["apiVersion: bargate/v2\nkind: ExportPolicy\n", /received "bargate\/v2"/, /write bargate\/v1/],
  ["apiVersion: v1\nkind: Secret\ndata: {}\n", /kind "Secret"/, /leave it out/],
];

Deno.test("a document of another language is told one thing: what it is, and where it belongs", () => {
  for (const [text, message, fix] of OTHER_DOCUMENTS) {
    const [only, ...others] = told(text);
    assert.deepEqual(others, []);
    assert.match(only?.message ?? "", message);
    assert.match(only?.fix ?? "", fix);
  }
});
