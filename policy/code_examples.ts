/**
 * An example of wrong and right for every diagnostic of policies. `docs/diagnostics.md` shows them,
 * and each is run as a test.
 *
 * @module
 */
import type { Code } from "./codes.ts";

/**
 * Parts of a small policy; a part that is left out is the one of {@linkcode EXAMPLE_POLICY}.
 * `text` replaces the whole file instead.
 */
export interface Example {
  readonly metadata?: string;
  readonly devices?: string;
  readonly importers?: string;
  readonly exports?: string;
  readonly deny?: string;
  readonly apiVersion?: string;
  readonly kind?: string;
  /** Another document after this one: its metadata, or all of it when it has a kind of its own. */
  readonly second?: string;
  /** The whole file, where the mistake is not in a part. */
  readonly text?: string;
  /** The whole file as bytes, where it is no text; `text` then only describes it. */
  readonly bytes?: () => Uint8Array;
}

/** An example of what is not accepted, and how it is. */
export interface CodeExamples {
  readonly wrong: Example;
  /** Default: {@linkcode EXAMPLE_POLICY}. */
  readonly right?: Example;
}

/** The valid policy that examples are variations of. */
export const EXAMPLE_POLICY = {
  apiVersion: "apiVersion: bargate/v1",
  kind: "kind: ExportPolicy",
  metadata: "metadata: { name: demo }",
  devices: `devices:
  ssd: { match: { id: "1b36:0010" } }`,
  importers: `importers:
  engine: { identity: { user: nobody }, driver: iommufd }`,
  exports: `exports:
  - name: data
    device: ssd
    bar: 2
    slices: [{ offset: 0, length: 8KiB }]
    importers: [engine]`,
} as const satisfies Example;

/** An export of the example policy with its slices and further lines replaced. */
function exported(slices: string, ...lines: readonly string[]): string {
  return [
    "exports:",
    "  - name: data",
    "    device: ssd",
    "    bar: 2",
    `    slices: [${slices}]`,
    "    importers: [engine]",
    ...lines.map((line) => `    ${line}`),
  ].join("\n");
}

function importer(body: string): string {
  return `importers:\n  engine: { ${body} }`;
}

function device(body: string): string {
  return `devices:\n  ssd: { ${body} }`;
}

const BORROWED = device(
  'match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: spdk_tgt.service }',
);

const ONE_SLICE = "{ offset: 0, length: 8KiB }";

/** Two importers of one export, with further lines. */
function shared(...lines: readonly string[]): Example {
  return {
    importers: `importers:
  engine: { identity: { user: nobody }, driver: iommufd }
  second: { identity: { user: daemon }, driver: iommufd }`,
    exports: exported(ONE_SLICE, ...lines).replace("[engine]", "[engine, second]"),
  };
}

/** Two exports of one device, each with further lines. */
function twoExports(first: string, second: string): Example {
  return {
    exports: `exports:
  - name: data
    device: ssd
    bar: 2
    slices: [{ offset: 0, length: 4KiB }]
    importers: [engine]
    ${first}
  - name: log
    device: ssd
    bar: 2
    slices: [{ offset: 4KiB, length: 4KiB }]
    importers: [engine]
    ${second}`,
  };
}

/** The manifest of a set of one file. */
function manifest(path: string, hash: string): string {
  return `apiVersion: bargate/v1
kind: PolicySet
metadata: { name: demo }
files: [{ path: ${path}, sha256: "${hash}" }]`;
}

function test(body: string): string {
  return `apiVersion: bargate/v1
kind: PolicyTest
metadata: { name: demo }
cases: [${body}]`;
}

/** By code, in the order of the list. */
export const CODE_EXAMPLES: Readonly<Record<Code, CodeExamples>> = {
  BG1001: {
    wrong: {
      text: "(more than 32 MiB)",
      bytes: () => new Uint8Array(32 * 1024 * 1024 + 1).fill(0x20),
    },
  },
  BG1002: {
    wrong: {
      text: "metadata: { name: demo, description: <byte 0xff> }",
      bytes: () => Uint8Array.of(0x61, 0x3a, 0x20, 0xff, 0x0a),
    },
  },
  BG1003: {
    wrong: { metadata: 'metadata: { name: demo, description: "a\u202eb" }' },
  },
  BG1004: {
    wrong: { metadata: "metadata: { name: demo" },
  },
  BG1005: {
    wrong: { metadata: `metadata: ${"[".repeat(40)}${"]".repeat(40)}` },
  },
  BG1006: {
    wrong: { metadata: "metadata: { name: demo, name: other }" },
  },
  BG1007: {
    wrong: { metadata: "metadata: { name: !secret demo }" },
  },
  BG1008: {
    wrong: { metadata: "metadata: { name: *demo }" },
  },
  BG1009: {
    wrong: {
      text: `a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]`,
    },
  },
  BG1010: {
    wrong: { devices: 'devices:\n  ssd: { <<: { match: { id: "1b36:0010" } } }' },
  },
  BG1011: {
    wrong: { metadata: "metadata: { [name]: demo }" },
  },
  BG1012: {
    wrong: { apiVersion: `%YAML 1.1\n---\n${EXAMPLE_POLICY.apiVersion}` },
    right: { apiVersion: `%YAML 1.2\n---\n${EXAMPLE_POLICY.apiVersion}` },
  },
  BG1013: {
    wrong: { text: "# nothing yet" },
  },
  BG1014: {
    wrong: {
      text: "(a file with more than 1000 mistakes)",
      bytes: () => new TextEncoder().encode("kind: ExportPolicy\n".repeat(1200)),
    },
  },
  BG1015: {
    wrong: { metadata: 'metadata: { name: "d\\x65mo" }' },
    right: { metadata: 'metadata: { name: "demo" }' },
  },
  BG1016: {
    wrong: {
      metadata: "metadata: { name: demo, labels: { a: &who engine, b: &who other, c: *who } }",
    },
    right: {
      metadata: "metadata: { name: demo, labels: { a: &who engine, b: other, c: *who } }",
    },
  },
  BG1101: {
    wrong: { exports: exported(ONE_SLICE, "graze: 2s") },
    right: { exports: exported(ONE_SLICE, "grace: 2s") },
  },
  BG1103: {
    wrong: { importers: importer("identity: { user: nobody }") },
  },
  BG1104: {
    wrong: { devices: "devices: [ssd]" },
  },
  BG1105: {
    wrong: { exports: exported(ONE_SLICE, "access: write-only") },
    right: { exports: exported(ONE_SLICE, "access: read-write") },
  },
  BG1106: {
    wrong: { exports: exported(ONE_SLICE).replace("bar: 2", "bar: 6") },
  },
  BG1107: {
    wrong: { metadata: 'metadata: { name: "CMB to NIC" }' },
    right: { metadata: "metadata: { name: cmb-to-nic }" },
  },
  BG1108: {
    wrong: { devices: device('match: { id: "0x1b36:0010" }') },
  },
  BG1109: {
    wrong: { devices: device('match: { address: 0000:03:00.0, id: "1b36:0010" }') },
    right: { devices: device('match: { address: "0000:03:00.0", id: "1b36:0010" }') },
  },
  BG1110: {
    wrong: {
      importers: importer("identity: { user: nobody, executable: nvmf_tgt }, driver: iommufd"),
    },
    right: {
      importers: importer(
        "identity: { user: nobody, executable: /usr/bin/nvmf_tgt }, driver: iommufd",
      ),
    },
  },
  BG1111: {
    wrong: { importers: importer('identity: { user: "nvmf target" }, driver: iommufd') },
    right: { importers: importer("identity: { user: nvmf }, driver: iommufd") },
  },
  BG1112: {
    wrong: { importers: importer("identity: { unit: nvmf_tgt }, driver: iommufd") },
    right: { importers: importer("identity: { unit: nvmf_tgt.service }, driver: iommufd") },
  },
  BG1113: {
    wrong: { importers: importer('identity: { user: nobody, sha256: "c0ffee" }, driver: iommufd') },
    right: {
      importers: importer(
        `identity: { user: nobody, sha256: "${"c0ffee00".repeat(8)}" }, driver: iommufd`,
      ),
    },
  },
  BG1114: {
    wrong: { devices: device('match: { id: "1b36:0010", iommuGroup: 010 }') },
    right: { devices: device('match: { id: "1b36:0010", iommuGroup: 10 }') },
  },
  BG1201: {
    wrong: { exports: exported("{ offset: 0, length: 8MB }") },
    right: { exports: exported("{ offset: 0, length: 8MiB }") },
  },
  BG1202: {
    wrong: { exports: exported("{ offset: 0x10000000000000000, length: 8KiB }") },
  },
  BG1203: {
    wrong: { exports: exported(ONE_SLICE, "grace: 2") },
    right: { exports: exported(ONE_SLICE, "grace: 2s") },
  },
  BG1204: {
    wrong: { exports: exported(ONE_SLICE, "expires: 1s") },
    right: { exports: exported(ONE_SLICE, "expires: 1h") },
  },
  BG1301: {
    wrong: { exports: exported(ONE_SLICE).replace("device: ssd", "device: sdd") },
  },
  BG1302: {
    wrong: { exports: exported(ONE_SLICE).replace("[engine]", "[engin]") },
  },
  BG1303: {
    wrong: {
      devices: `${EXAMPLE_POLICY.devices}\n  spare: { match: { address: "0000:04:00.0" } }`,
    },
  },
  BG1304: {
    wrong: {
      importers:
        `${EXAMPLE_POLICY.importers}\n  spare: { identity: { user: daemon }, driver: iommufd }`,
    },
  },
  BG1305: {
    wrong: {
      exports: twoExports("collateral: device", "collateral: device").exports?.replace(
        "log",
        "data",
      ) ?? "",
    },
    right: twoExports("collateral: device", "collateral: device"),
  },
  BG1306: {
    wrong: {
      exports: exported(ONE_SLICE, "collateral: device", "shared: true"),
      second: "metadata: { name: demo }",
    },
    right: {
      exports: exported(ONE_SLICE, "collateral: device", "shared: true"),
      second: "metadata: { name: another }",
    },
  },
  BG1307: {
    wrong: { exports: exported(ONE_SLICE).replace("name: data", "name: bargate") },
  },
  BG1308: {
    wrong: { exports: exported(ONE_SLICE).replace("[engine]", "[engine, engine]") },
  },
  BG1309: {
    wrong: {
      exports: twoExports(
        "collateral: device\n    shared: true",
        "collateral: device\n    shared: true",
      ).exports?.replace("offset: 4KiB", "offset: 0") ?? "",
    },
    right: twoExports("collateral: device", "collateral: device"),
  },
  BG1310: {
    wrong: {
      deny:
        "deny:\n  - { device: ssd, bar: 0, reason: registers }\n  - { device: ssd, bar: 0, slices: [{ offset: 0, length: 4KiB }], reason: doorbells }",
    },
    right: { deny: "deny:\n  - { device: ssd, bar: 0, reason: registers }" },
  },
  BG1401: {
    wrong: { exports: exported("{ offset: 0x800, length: 8KiB }") },
  },
  BG1402: {
    wrong: { exports: exported("{ offset: 0, length: 6000 }") },
  },
  BG1403: {
    wrong: { exports: exported("{ offset: 0, length: 0 }") },
  },
  BG1404: {
    wrong: { exports: exported("{ offset: 0xfffffffffffff000, length: 8KiB }") },
  },
  BG1405: {
    wrong: {
      importers: importer("identity: { user: nobody }, driver: mlx5"),
      exports: exported("{ offset: 0, length: 8KiB }, { offset: 4KiB, length: 8KiB }"),
    },
    right: { exports: exported("{ offset: 0, length: 8KiB }, { offset: 8KiB, length: 8KiB }") },
  },
  BG1406: {
    wrong: {
      deny:
        "deny:\n  - { device: ssd, bar: 2, slices: [{ offset: 0, length: 1 }], reason: doorbells }",
    },
    right: {
      deny:
        "deny:\n  - { device: ssd, bar: 2, slices: [{ offset: 8KiB, length: 1 }], reason: doorbells }",
    },
  },
  BG1407: {
    wrong: { deny: "deny:\n  - { device: ssd, bar: 2, reason: kept for the controller }" },
    right: { deny: "deny:\n  - { device: ssd, bar: 0, reason: controller registers }" },
  },
  BG1408: {
    wrong: shared("collateral: device"),
    right: shared("collateral: device", "shared: true"),
  },
  BG1409: {
    wrong: { exports: exported(ONE_SLICE, "shared: true") },
  },
  BG1410: {
    wrong: { exports: exported(ONE_SLICE, "region: whole") },
    right: { exports: exported(ONE_SLICE).replace(/slices: .*/, "region: whole") },
  },
  BG1411: {
    wrong: {
      exports: exported(ONE_SLICE).replace(/bar: 2\n.*slices: .*/, "region: nvme.doorbells"),
    },
  },
  BG1412: {
    wrong: {
      exports: exported(ONE_SLICE).replace(
        /bar: 2\n.*slices: .*/,
        "region: nvme.doorbells\n    bar: 2",
      ),
    },
    right: { exports: exported(ONE_SLICE).replace(/slices: .*/, "region: nvme.cmb") },
  },
  BG1413: {
    wrong: {
      devices: EXAMPLE_POLICY.devices.replace(" }", `, class: "010802" }`),
      exports: exported(ONE_SLICE).replace("bar: 2", "bar: 0"),
    },
  },
  BG1501: {
    wrong: { importers: importer("identity: { user: nobody }, driver: iommfd") },
  },
  BG1502: {
    wrong: { importers: importer("identity: { user: nobody }, driver: efa") },
  },
  BG1503: {
    wrong: { exports: exported("{ offset: 0, length: 4KiB }, { offset: 8KiB, length: 4KiB }") },
  },
  BG1504: {
    wrong: { importers: importer("identity: { user: nobody }, driver: mlx5, mapping: bargate") },
    right: { importers: importer("identity: { user: nobody }, driver: iommufd, mapping: bargate") },
  },
  BG1505: {
    wrong: { exports: exported(ONE_SLICE, "access: read-only") },
    right: {
      importers: importer("identity: { user: nobody }, driver: iommufd, mapping: bargate"),
      exports: exported(ONE_SLICE, "access: read-only"),
    },
  },
  BG1506: {
    wrong: {
      importers: importer("identity: { executable: /usr/bin/nvmf_tgt }, driver: iommufd"),
    },
    right: {
      importers: importer(
        "identity: { user: nobody, executable: /usr/bin/nvmf_tgt }, driver: iommufd",
      ),
    },
  },
  BG1507: {
    wrong: { importers: importer("identity: { user: change-me }, driver: iommufd") },
    right: { importers: importer("identity: { user: nvmf }, driver: iommufd") },
  },
  BG1508: {
    wrong: { importers: importer("identity: { user: root }, driver: iommufd") },
    right: { importers: importer("identity: { user: nvmf }, driver: iommufd") },
  },
  BG1601: {
    wrong: twoExports("onReset: revoke", "onReset: restore\n    collateral: device"),
    right: twoExports(
      "onReset: revoke\n    collateral: device",
      "onReset: restore\n    collateral: device",
    ),
  },
  BG1602: {
    wrong: shared("shared: true"),
    right: shared("shared: true", "collateral: device"),
  },
  BG1603: {
    wrong: { devices: BORROWED },
    right: { devices: BORROWED, exports: exported(ONE_SLICE, "revocation: cooperative") },
  },
  BG1604: {
    wrong: { exports: exported(ONE_SLICE, "revocation: cooperative") },
  },
  BG1605: {
    wrong: {
      devices: BORROWED,
      exports: exported(ONE_SLICE, "revocation: cooperative", "collateral: device"),
    },
    right: { devices: BORROWED, exports: exported(ONE_SLICE, "revocation: cooperative") },
  },
  BG1701: {
    wrong: {
      devices: device('match: { id: "1b36:0010" }, acquire: borrow'),
      exports: exported(ONE_SLICE, "revocation: cooperative"),
    },
    right: { devices: BORROWED, exports: exported(ONE_SLICE, "revocation: cooperative") },
  },
  BG1702: {
    wrong: { devices: device('match: { id: "1b36:0010" }, owner: { unit: spdk_tgt.service }') },
  },
  BG1703: {
    wrong: {
      devices: device(
        'match: { id: "1b36:0010" }, acquire: borrow, owner: { executable: /usr/bin/spdk_tgt }',
      ),
      exports: exported(ONE_SLICE, "revocation: cooperative"),
    },
    right: {
      devices: device(
        'match: { id: "1b36:0010" }, acquire: borrow, owner: { executable: /usr/bin/spdk_tgt, user: spdk }',
      ),
      exports: exported(ONE_SLICE, "revocation: cooperative"),
    },
  },
  BG1704: {
    wrong: {
      devices: `${BORROWED}\n  own: { match: { id: "1b36:0010" } }`,
      exports: twoExports(
        "revocation: cooperative",
        "collateral: device",
      ).exports?.replace(/ssd(?![^]*ssd)/, "own") ?? "",
    },
    right: { devices: BORROWED, exports: exported(ONE_SLICE, "revocation: cooperative") },
  },
  BG1705: {
    wrong: { devices: device('match: { id: "1b36:0010", barSizes: { 2: 12KiB } }') },
    right: { devices: device('match: { id: "1b36:0010", barSizes: { 2: 16KiB } }') },
  },
  BG1706: {
    wrong: { devices: device('match: { address: "0000:03:00.0" }') },
    right: { devices: device('match: { address: "0000:03:00.0", id: "1b36:0010" }') },
  },
  BG1707: {
    wrong: { devices: device('match: { class: "0108" }') },
    right: { devices: device('match: { class: "0108", id: "1b36:0010" }') },
  },
  BG1708: {
    wrong: { devices: device('match: { id: "1b36:0010", driver: nvme }') },
    right: { devices: device('match: { id: "1b36:0010", driver: vfio-pci }') },
  },
  BG1709: {
    wrong: { devices: device('match: { id: "1b36:0010", barSizes: { 2: 4KiB } }') },
    right: { devices: device('match: { id: "1b36:0010", barSizes: { 2: 16KiB } }') },
  },
  BG1710: {
    wrong: { devices: device('match: { id: "1b36:0010" }, enableCmb: true') },
    right: {
      devices: device('match: { id: "1b36:0010" }, enableCmb: true'),
      exports: exported(ONE_SLICE).replace(/slices: .*/, "region: nvme.cmb"),
    },
  },
  BG1711: {
    wrong: {
      devices: device(
        'match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: spdk.service }, enableCmb: true',
      ),
      exports: exported(ONE_SLICE, "revocation: cooperative")
        .replace(/slices: .*/, "region: nvme.cmb"),
    },
    right: {
      devices: device(
        'match: { id: "1b36:0010" }, acquire: borrow, owner: { unit: spdk.service }',
      ),
      exports: exported(ONE_SLICE, "revocation: cooperative")
        .replace(/slices: .*/, "region: nvme.cmb"),
    },
  },
  BG1712: {
    wrong: { devices: device('match: { id: ["1b36:0010", "1b36:0010"] }') },
    right: { devices: device('match: { id: ["1b36:0010", "144d:a80a"] }') },
  },
  BG1713: {
    wrong: {
      devices: `${
        device('match: { id: "1b36:0010" }')
      }\n  all: { match: { id: "1b36:0010" }, many: true }`,
      exports: twoExports("collateral: device", "collateral: device")
        .exports?.replace(/ssd(?![^]*ssd)/, "all") ?? "",
    },
    right: twoExports("collateral: device", "collateral: device"),
  },
  BG1801: {
    wrong: { second: manifest("absent.yaml", "0".repeat(64)) },
  },
  BG1802: {
    wrong: { second: manifest("absent.yaml", "0".repeat(64)) },
  },
  BG1803: {
    wrong: { second: manifest("example.yaml", "0".repeat(64)) },
  },
  BG1804: {
    wrong: {
      text: `apiVersion: bargate/v1
kind: PolicySet
metadata: { name: demo }
files:
  - { path: a.yaml, sha256: "${"0".repeat(64)}" }
  - { path: a.yaml, sha256: "${"0".repeat(64)}" }`,
    },
  },
  BG1805: {
    wrong: { second: test("{ name: nothing, expect: { decision: allowed } }") },
    right: { second: test("{ name: the set warns, expect: { diagnostic: BG1706 } }") },
  },
};
