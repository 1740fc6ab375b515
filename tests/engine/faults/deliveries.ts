/**
 * What leaves Bargate, and to whom: at each call by which something can (invariants 1, 4, 7 and 8).
 *
 * @module
 */
import { bufferName } from "../../../engine/export_name.ts";
import type { Fd } from "../../../engine/fd.ts";
import type { MapRequest, ProcessIdentity, SpawnRequest } from "../../../engine/kernel.ts";
import type { SimFile } from "../../../sim/file_table.ts";
import { SimIommufd } from "../../../sim/iommufd.ts";
import { SimSocket } from "../../../sim/sockets.ts";
import { SimDeviceFile, SimDmaBuf } from "../../../sim/vfio.ts";
import type { Scene } from "../support.ts";
import type { Audit } from "./audit.ts";
import { type Buffers, type Made, textOf, type Violated } from "./buffers.ts";

/** The only account that buffers may go to. */
const UID = 65534;
const EXECUTABLE = "/usr/bin/importer";
/** By these a device can be had. */
const POWERS: ReadonlySet<string> = new Set(["vfio-device", "vfio-group", "vfio-container"]);
/** Calls that open a device, or the way to one. */
const OPENS: ReadonlySet<string> = new Set(["openNode", "openShared", "groupDevice", "borrow"]);

/** Looks at calls. */
export class Deliveries {
  /** The importer's ends of connections. */
  readonly #ends = new Set<SimSocket>();
  /** iommufds that the importer has sent, by the export that they were sent for. */
  readonly sent = new Map<SimFile, string>();
  /** Copies that a debugger took, which nobody can keep it from. */
  readonly copies = new Set<number>();
  /** Bargate's own. */
  readonly #own = new Set<SimFile>();
  /** Who a connected importer was, when it was last looked at. */
  #seen: ProcessIdentity | undefined;

  constructor(
    private readonly scene: Scene,
    private readonly buffers: Buffers,
    private readonly audit: Audit,
    private readonly isOthers: (number: number) => boolean,
    private readonly violated: Violated,
  ) {}

  /** A connected importer's end of its connection. */
  connected(number: number): void {
    const end = this.scene.kernel.table.get(number);
    if (end instanceof SimSocket) this.#ends.add(end);
  }

  /** A call is made. */
  called(name: string, args: readonly unknown[]): void {
    const { kernel } = this.scene;
    if (OPENS.has(name) && kernel.dumpable) {
      this.violated(`${name} while others may look into Bargate`);
    }
    if (name === "spawn") this.#spawn(args[0] as SpawnRequest);
    if (name === "send") this.#send(args as [Fd, Uint8Array, (readonly Fd[])?]);
    if (name === "ioasMapFile") this.#map(args[0] as MapRequest);
  }

  /** A call has answered. */
  answered(name: string, result: unknown): void {
    const { table } = this.scene.kernel;
    if (name === "openIommufd") this.#own.add(table.get((result as Fd).number) as SimFile);
    if (name === "identifyProcess") this.#seen = result as ProcessIdentity | undefined;
    if (name === "spawn" || name === "send") this.checkPossession();
  }

  #file({ number }: Fd): SimFile | undefined {
    return this.scene.kernel.table.get(number);
  }

  #spawn({ path, account, fds }: SpawnRequest): void {
    if (path !== EXECUTABLE || account?.uid !== UID) {
      this.violated(`${path} is started as ${account?.uid}`);
    }
    for (const { name, fd } of fds) {
      const file = this.#file(fd);
      if (file instanceof SimSocket && name === "bargate") this.#ends.add(file);
      else this.#leaves(file, (made) => bufferName(made.plan.export) === name);
    }
  }

  #send([socket, bytes, fds = []]: [Fd, Uint8Array, (readonly Fd[])?]): void {
    const end = this.#file(socket);
    const to = end instanceof SimSocket ? end.peer : undefined;
    if (fds.length === 0 || to === undefined) return;
    if (!this.#ends.has(to)) this.violated("descriptors go to somebody who is not the importer");
    if (this.scene.kernel.children.length === 0 && this.#seen?.uid !== UID) {
      this.violated(`descriptors go to an importer that is account ${this.#seen?.uid} by now`);
    }
    const packet = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (packet["type"] !== "granted" || fds.length !== 1) {
      this.violated("descriptors without a grant");
    }
    for (const fd of fds) {
      this.#leaves(this.#file(fd), (made) => {
        if (this.audit.stateOf(made.grant) === "revoking") return false;
        return made.grant === packet["grant"] && made.plan.export === packet["export"];
      });
    }
  }

  /** One descriptor leaves. @param isMeant whether its grant is the one that is told */
  #leaves(file: SimFile | undefined, isMeant: (made: Made) => boolean): void {
    if (file === undefined) return;
    const made = file instanceof SimDmaBuf ? this.buffers.of(file) : undefined;
    if (made === undefined) return this.violated(`a ${file.kind} of no grant leaves`);
    const { plan, buffer } = made;
    if (plan.importer.mapping !== "importer") this.violated("a buffer leaves that Bargate maps");
    if (!isMeant(made)) this.violated("another buffer leaves than what is told");
    if (this.audit.stateOf(made.grant) === "ended") this.violated("a buffer leaves after its end");
    if (textOf(buffer.ranges) !== textOf(plan.ranges)) {
      this.violated("a buffer leaves that is larger");
    }
    if (plan.device.owner !== undefined) this.#checkGivenBack();
  }

  /** A copy of an owner's descriptor is closed before anything leaves. */
  #checkGivenBack(): void {
    const { table } = this.scene.kernel;
    const kept = table.open().some(({ number, kind }) =>
      kind === "vfio-device" && !this.isOthers(number)
    );
    if (kept) this.violated("a buffer leaves while a copy of the owner's descriptor is open");
  }

  #map({ iommufd, dmaBuf, writeable, length, start }: MapRequest): void {
    const [into, file] = [this.#file(iommufd), this.#file(dmaBuf)];
    if (!(into instanceof SimIommufd) || this.#own.has(into)) return;
    const made = file instanceof SimDmaBuf ? this.buffers.of(file) : undefined;
    const asked = this.sent.get(into);
    if (made === undefined || asked === undefined) {
      return this.violated("a buffer is mapped for somebody who is not the importer");
    }
    const { plan, buffer } = made;
    const isMeant = plan.importer.mapping === "bargate" && bufferName(plan.export) === asked;
    if (!isMeant) this.violated(`${plan.export} is mapped where ${asked} was asked for`);
    if (writeable !== (plan.rule.access === "read-write")) {
      this.violated("a mapping has other rights");
    }
    if (start !== 0n || length !== buffer.size) this.violated("a mapping is of another size");
    if (this.audit.stateOf(made.grant) === "ended") {
      this.violated("a buffer is mapped after its end");
    }
  }

  /** Nobody but Bargate has what a device of its own can be had by. */
  checkPossession(): void {
    const { table } = this.scene.kernel;
    for (const { number } of table.open()) {
      if (!this.isOthers(number) || this.copies.has(number)) continue;
      const file = table.get(number);
      const files = file instanceof SimSocket
        ? file.queue.flatMap((packet) => packet.files)
        : [file];
      for (const each of files) this.#checkPower(each);
    }
  }

  #checkPower(file: SimFile | undefined): void {
    if (file === undefined) return;
    // What is borrowed is its owner's to have.
    const address = file instanceof SimDeviceFile ? file.device.fn.address : undefined;
    const { grants } = this.scene.plan;
    const lent = grants.some(({ device }) => device.owner !== undefined);
    const isLent = lent && (address === undefined || grants[0]?.device.address === address);
    const owns = file instanceof SimIommufd && this.#own.has(file);
    if ((POWERS.has(file.kind) || owns) && !isLent) {
      this.violated(`somebody else has a ${file.kind}`);
    }
  }
}
