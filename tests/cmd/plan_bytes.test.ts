/** The bytes of a plan's ioctls, and a plan's bytes. @module */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import { ioctlsOf } from "../../cmd/plan_bytes.ts";
import { planPieces } from "../../cmd/plan_text.ts";
import { makePlan } from "../../engine/plan.ts";
import type { PlannedCall } from "../../engine/planned_call.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { loadPolicySet } from "../../policy/load.ts";

/** Little-endian 32-bit words, as they stand in memory. */
function words(...values: readonly (number | "..")[]): string {
  return values.map((value) => {
    if (value === "..") return "........";
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }).join("");
}

const ON = { on: "x" };

/** By the kernel's headers, word by word. */
const BYTES: readonly (readonly [PlannedCall, readonly (readonly [string, string])[]])[] = [
  [
    { call: "bindIommufd", ...ON, iommufd: "iommufd 1" },
    [["0x3b76", words(24, 0, "..", 0, 0, 0)]],
  ],
  [{ call: "setContainer", ...ON, container: "c" }, [["0x3b68", words("..")]]],
  [{ call: "setType1Iommu", ...ON }, [
    ["0x3b64", words(0, 0)],
    ["0x3b65", words(3, 0)],
    ["0x3b66", words(3, 0)],
  ]],
  [
    { call: "groupDevice", ...ON, address: "0000:01:00.0", gives: "d" },
    [["0x3b6a", "303030303a30313a30302e3000"]],
  ],
  [
    { call: "readRegion", ...ON, region: 7, offset: 0n, length: 256 },
    [["0x3b6c", words(32, 0, 7, 0, 0, 0, 0, 0)]],
  ],
  [{ call: "regionInfo", ...ON, region: 2 }, [["0x3b6c", words(32, 0, 2, 0, 0, 0, 0, 0)]]],
  [{ call: "ioasAlloc", ...ON, gives: "ioas 1" }, [["0x3b81", words(12, 0, 0)]]],
  [
    { call: "armInterrupt", ...ON, interrupt: "request" },
    [["0x3b6e", words(24, 0x24, 4, 0, 1, "..")]],
  ],
  [
    { call: "armInterrupt", ...ON, interrupt: "error" },
    [["0x3b6e", words(24, 0x24, 3, 0, 1, "..")]],
  ],
  [{ call: "probeDmaBuf", ...ON }, [["0x3b75", words(8, 0x5000b)]]],
  [
    {
      call: "exportDmaBuf",
      ...ON,
      region: 2,
      ranges: [{ offset: 0x1000n, length: 0x2_0000_0000n }],
      gives: "b",
    },
    [["0x3b75", words(40, 0x1000b, 2, 0x80002, 0, 1, 0x1000, 0, 0, 2)]],
  ],
  [
    {
      call: "ioasMapFile",
      ...ON,
      ioas: "i",
      dmaBuf: "b",
      start: 0n,
      length: 0x2000n,
      writeable: true,
    },
    [["0x3b8f", words(40, 6, "..", "..", 0, 0, 0x2000, 0, 0, 0)]],
  ],
  [
    { call: "ioasUnmap", ...ON, ioas: "i", length: 0x2000n },
    [["0x3b86", words(24, "..", "..", "..", 0x2000, 0)]],
  ],
  [{ call: "deviceAddress", ...ON }, []],
  [{ call: "dmaBufFacts", ...ON }, []],
  [{ call: "close", ...ON }, []],
];

Deno.test("each ioctl of a plan has the bytes that the kernel's headers ask for", () => {
  for (const [call, wanted] of BYTES) {
    const made = ioctlsOf(call).map(({ request, bytes }) => [request, bytes]);
    assert.deepEqual(made, wanted, call.call);
  }
});

const EXAMPLES = new URL("../../examples/", import.meta.url);
const HOST = parseSnapshot(Deno.readFileSync(new URL("hosts/laboratory.json", EXAMPLES))).snapshot;

/** Policies that warn and deny, of one device and several. */
const FILES = ["a", "b", "c", "d"].map((name, at) => ({
  file: `${name}.yaml`,
  text: `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: ${name} }
devices: { ssd: { match: { address: "0000:0${1 + at % 2}:00.0" } } }
importers: { nic: { identity: { user: nobody }, driver: mlx5 }, gpu: { identity: { user: games }, driver: mlx5 } }
exports:
  - { name: data, device: ssd, bar: 2, slices: [{ offset: ${
    at * 64
  }KiB, length: 8KiB }], importers: [nic, gpu], collateral: device, shared: true }
deny: [{ device: ssd, bar: 0, reason: registers }]
`,
}));

function planned(files: typeof FILES): string {
  const { set, diagnostics } = loadPolicySet(files);
  assert.ok(set !== undefined && HOST !== undefined, JSON.stringify(diagnostics));
  const plan = makePlan(set, HOST);
  assert.ok(plan.grants.length > 0, JSON.stringify(plan.diagnostics));
  const all = [...diagnostics, ...plan.diagnostics];
  return planPieces({ ...plan, diagnostics: all }, {}).join("");
}

Deno.test("the same policies on the same host give the same bytes, in whatever order they come", () => {
  const wanted = planned(FILES);
  assert.ok(JSON.parse(wanted).diagnostics.length > 0, "order could show there");
  fc.assert(fc.property(fc.shuffledSubarray(FILES, { minLength: FILES.length }), (files) => {
    assert.equal(planned(files), wanted);
  }));
});
