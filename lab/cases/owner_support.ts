/** What the cases of borrowed devices share: a policy, and a program that has the device open. @module */
import assert from "node:assert/strict";
import type { CaseContext, GuestContext } from "../guest/case.ts";
import type { ImporterControl } from "../guest/importer.ts";
import type { Running } from "../guest/process.ts";
import { join } from "../path.ts";
import { endOf, IOVA, type LabExport, type PolicySpec, policyText } from "./support.ts";

const ELSEWHERE = IOVA + 0x100000;

/** A case's policy, with a device that is borrowed from whoever this says. */
export function borrowing(owner: string, spec: PolicySpec = {}): PolicySpec {
  return {
    grace: "200ms",
    ...spec,
    acquire: `acquire: borrow, owner: ${owner}`,
    more: `    revocation: cooperative\n${spec.more ?? ""}`,
  };
}

/** The same as YAML. */
export function borrowPolicy(
  context: GuestContext,
  owner: string,
  spec: PolicySpec = {},
): string {
  return policyText(context, borrowing(owner, spec));
}

/** A program that has a device open, as SPDK would. */
export class LabOwner {
  private constructor(
    private readonly context: GuestContext,
    readonly process: Running,
    readonly control: ImporterControl,
  ) {}

  /** Starts one that has nothing open yet. */
  static start(context: GuestContext): LabOwner {
    const control = context.importer();
    const process = context.start([context.program("importer"), control.socketPath]);
    return new LabOwner(context, process, control);
  }

  /** Starts one that has the device open by its character device. */
  static async holding(context: GuestContext, address?: string): Promise<LabOwner> {
    const owner = LabOwner.start(context);
    await owner.hold(address);
    return owner;
  }

  /** Starts one that has the device open by its group. */
  static async holdingByGroup(
    context: GuestContext,
    by: "container" | "iommufd",
  ): Promise<LabOwner> {
    const owner = LabOwner.start(context);
    const { address } = context.devices.nvme;
    await owner.control.must(`hold-group ${await groupNode(address)} ${address} ${by}`);
    return owner;
  }

  async hold(address: string = this.context.devices.nvme.address): Promise<void> {
    await this.control.must(`hold ${await this.context.vfioNode(address)}`);
  }

  /** Who it is, as a policy says it. */
  get identity(): string {
    return `{ user: root, executable: ${this.context.program("importer")} }`;
  }

  /** The same, with the socket on which it listens from here on. */
  async listening(): Promise<string> {
    const path = join(this.context.scratch, "owner.sock");
    await this.control.must(`channel-listen ${path}`);
    return `{ user: root, socket: ${path} }`;
  }

  /**
   * Waits for who asks; who only looks is let go.
   *
   * @returns what is asked
   */
  async asked(): Promise<Record<string, unknown>> {
    for (;;) {
      await this.control.must("channel-accept 40000", 45_000);
      const heard = await this.control.must("channel-recv 40000", 45_000);
      if (heard["state"] === "packet") return JSON.parse(String(heard["packet"]));
      await this.control.must("close bargate");
    }
  }

  /**
   * Answers the next question.
   *
   * @param command by which it answers; unless given, as an owner should
   * @returns when the other side has closed the connection
   */
  async lend(command = 'channel-send-fd held {"v":1,"type":"lent"}'): Promise<void> {
    await this.asked();
    await this.control.must(command);
    await this.control.must("channel-recv 20000", 25_000);
    await this.control.must("close bargate");
  }
}

/** @returns the node of the IOMMU group of a function */
export async function groupNode(address: string): Promise<string> {
  const link = await Deno.readLink(`/sys/bus/pci/devices/${address}/iommu_group`);
  return `/dev/vfio/${link.split("/").at(-1)}`;
}

/** A way in which an owner can go. */
export interface OwnerEnd {
  readonly how: string;
  readonly go: (owner: LabOwner) => Promise<unknown>;
}

/** Each of them. */
export const OWNER_ENDS: readonly OwnerEnd[] = [
  { how: "the owner's close", go: ({ control }) => control.must("close held") },
  { how: "the owner's exit", go: ({ control }) => control.send("exit 0") },
  {
    how: "SIGKILL of the owner",
    go: async ({ process }) => {
      process.kill("SIGKILL");
      await process.exited();
    },
  },
];

/** Fails unless nobody has the device open any more: then it can be opened again. */
export async function assertFree(context: CaseContext): Promise<void> {
  const node = await context.vfioNode(context.devices.nvme.address);
  const opened = await context.run([context.program("export_bench"), node, "2", "1", "1"]);
  if (opened.status !== 0) throw new Error(`somebody has the device open: ${opened.stderr}`);
}

/** Maps the slice, lets the owner end it, and notes how long the grant took to follow. */
export async function mapUntil(
  context: CaseContext,
  lab: LabExport,
  end: () => Promise<unknown>,
): Promise<void> {
  await lab.map();
  assert.equal(await lab.dmaLands(), true);
  await lab.mark();
  const started = performance.now();
  await end();
  await lab.event("ended");
  const ms = Math.round(performance.now() - started);
  context.figure("from the owner's end to the grant's in the audit, ms", ms);
}

/** The owner has gone: the mapping is dead, the descriptor too, and the audit says why. */
export async function assertOver(lab: LabExport): Promise<void> {
  await lab.event("ended");
  assert.equal(await lab.oldMappingLands(), false);
  assert.equal((await lab.importer.ask(`map data ${ELSEWHERE}`)).error, "ENODEV");
  assert.equal(endOf(lab.events).reason, "owner-gone");
  assert.equal(await lab.finish(), 0);
}
