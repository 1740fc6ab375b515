/**
 * Doorbells of an NVMe controller as a peer rings them: the way of storage that a GPU or another
 * controller drives by itself.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { until } from "../guest/until.ts";
import { encodeHex } from "../hex.ts";
import { IOVA, LabExport } from "./support.ts";

const LIMIT_MS = 300_000;
const BAR = 0;
/** Registers of a controller (NVM Express Base Specification 2.0, 3.1.3). */
const REGISTERS = { configuration: 0x14, status: 0x1c, queueSizes: 0x24, submission: 0x28 };
const COMPLETION = 0x30;
/** Enabled, with entries of 64 and 16 bytes. */
const ENABLE = 0x0046_0001;
const READY = 0x1;
/** Controller Fatal Status; QEMU then says nothing else. */
const FATAL = 0x2;

/** Puts a controller on line whose queue of commands lies where its IOMMU domain maps nothing. */
async function enable(context: CaseContext, address: string): Promise<void> {
  const words: readonly (readonly [at: number, value: number])[] = [
    [REGISTERS.queueSizes, 0x000f_000f],
    [REGISTERS.submission, 0x1000_0000],
    [REGISTERS.submission + 4, 0],
    [COMPLETION, 0x1000_1000],
    [COMPLETION + 4, 0],
    [REGISTERS.configuration, ENABLE],
  ];
  for (const [at, value] of words) {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    const program = context.program("bar");
    const ran = await context.run([
      program,
      address,
      `${BAR}`,
      "write32",
      `${at}`,
      encodeHex(bytes),
    ]);
    assert.equal(ran.status, 0, ran.stderr);
  }
  assert.equal(await statusOf(context, address), READY);
}

async function statusOf(context: CaseContext, address: string): Promise<number> {
  const [status = 0] = await context.readBar(address, BAR, REGISTERS.status, 4);
  return status & (READY | FATAL);
}

/** A controller whose doorbell is rung fetches a command, cannot, and says that this is fatal. */
async function rungStory(context: CaseContext): Promise<void> {
  const { nvme, nvme2, edu } = context.devices;
  const lab = await LabExport.startWith(
    context,
    `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: lab }
devices:
  ssds: { match: { id: "${nvme.id}", address: ["${nvme.address}", "${nvme2.address}"] }, many: true }
importers:
  engine: { identity: { user: nobody }, driver: iommufd, device: { address: "${edu.address}" } }
exports:
  - { name: bells, device: ssds, region: nvme.doorbells, importers: [engine] }
`,
  );
  const [first, second] = [nvme.address, nvme2.address];
  const at = { [first]: IOVA, [second]: IOVA + 0x10_0000 };
  for (const address of [first, second]) {
    await lab.map(`bells@${address.replaceAll(":", "-")}`, at[address]);
    await enable(context, address);
  }
  await lab.importer.must("engine-fill 0 64");
  await lab.importer.must("engine-fill 1 1");
  for (const address of [second, first]) {
    await lab.importer.must(`dma-write ${at[address]} 4`);
    await until(
      `${address} to find no command`,
      20_000,
      async () => await statusOf(context, address) === FATAL || undefined,
    );
    if (address === second) {
      assert.equal(await statusOf(context, first), READY, "not the other one");
    }
  }
  assert.equal(await lab.finish(), 0);
  assert.equal(await statusOf(context, first), 0, "the close has reset it");
}

/** The cases. */
export const cases: readonly LabCase[] = [
  {
    name: "doorbells: of two controllers by one rule, each is rung by DMA through its own buffer",
    limitMs: LIMIT_MS,
    run: rungStory,
  },
];
