/** A device that is known by its Device Serial Number, on the whole road. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { IOVA, LabExport, writePolicy } from "./support.ts";

const LIMIT_MS = 300_000;
/** Registers of the receiver, of which one takes any address that is a multiple of 16. */
const PAGE = 0x2000;
const RECEIVE_BASE = 0x800;
const WRITTEN = "50505050";
const OTHER = "00-1b-21-ff-ff-a0-12-35";

function policy({ devices: { nic } }: CaseContext, serial: string | undefined): string {
  return `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  nics: { match: { id: "${nic.id}", serial: ["${serial}"] }, many: true }
importers:
  engine: { identity: { user: nobody }, driver: iommufd }
exports:
  - { name: data, device: nics, bar: 0, slices: [{ offset: ${PAGE}, length: 4KiB }], importers: [engine] }
`;
}

/** The open device is asked for its serial number again, and has the one that was planned. */
async function matchedStory(context: CaseContext): Promise<void> {
  const { nic } = context.devices;
  const lab = await LabExport.startWith(context, policy(context, nic.serial));
  await lab.map(`data@${nic.address.replaceAll(":", "-")}`);
  const register = async () => {
    await lab.importer.must("engine-fill 255 4");
    await lab.importer.must(`dma-read ${IOVA + RECEIVE_BASE} 4`);
    return (await lab.importer.must("engine-peek 4"))["bytes"];
  };
  assert.equal(await register(), "00000000", "the open has reset it");
  await lab.importer.must("engine-fill 80 4");
  await lab.importer.must(`dma-write ${IOVA + RECEIVE_BASE} 4`);
  assert.equal(await register(), WRITTEN, "DMA has reached the register");
  assert.equal(await lab.finish(), 0);
}

async function otherStory(context: CaseContext): Promise<void> {
  const path = await writePolicy(context, policy(context, OTHER));
  const ran = await context.bargate(["plan", "--format", "json", path]);
  assert.equal(ran.status, 4, ran.stderr);
  const { diagnostics } = JSON.parse(ran.stdout);
  assert.equal(diagnostics[0]?.code, "BG2001", ran.stdout);
}

/** The cases. */
export const cases: readonly LabCase[] = [
  {
    name: "serial: one of many that has the serial number is exported from, and bytes move",
    limitMs: LIMIT_MS,
    run: matchedStory,
  },
  {
    name: "serial: none of many has another serial number",
    limitMs: LIMIT_MS,
    run: otherStory,
  },
];
