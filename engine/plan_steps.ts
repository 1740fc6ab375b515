/**
 * What an export does to devices and buffers, call by call, before it does anything: the same order,
 * the same arguments. A test holds these steps against what the engine then calls. Looking at
 * processes, watching and talking are no steps: they change nothing that leaves the device.
 *
 * @module
 */
import { EXTENDED_CONFIG_BYTES, PCI_COMMAND } from "../host/config_space.ts";
import { BUFFER_EXPORTER } from "./buffer_checks.ts";
import type { DeviceTarget } from "./device_target.ts";
import { bufferName } from "./export_name.ts";
import { CONTAINER_NODE } from "./group_access.ts";
import type { Delivered, Expectation, FdName, PlanStep } from "./planned_call.ts";
import { memorySteps } from "./memory_steps.ts";
import type { PlannedGrant } from "./plan.ts";
import { CONFIG_BYTES, CONFIG_REGION } from "./session.ts";

const IOMMU_NODE = "/dev/iommu";

/**
 * The steps of an export to one importer.
 *
 * @param grants all of one importer, in the plan's order
 * @returns in the order in which they are made, up to the delivery
 */
export function stepsOf(grants: readonly PlannedGrant[]): readonly PlanStep[] {
  const script = new Script();
  for (const [, ofDevice] of Map.groupBy(grants, ({ device }) => device.address)) {
    script.device(ofDevice);
  }
  script.deliver();
  return script.steps;
}

/** A device that was opened, and where its buffers are probed. */
interface OpenDevice {
  readonly device: FdName;
  readonly iommufd: FdName;
  readonly ioas: string;
}

class Script {
  readonly steps: PlanStep[] = [];
  /** Of each IOMMU group whose node is open. */
  readonly #groups = new Map<string, FdName>();
  readonly #delivered: Delivered[] = [];
  readonly #mapped: Delivered[] = [];
  #shared: FdName | undefined;
  #iommufds = 0;
  #spaces = 0;
  #buffers = 0;

  device(grants: readonly PlannedGrant[]): void {
    const [first] = grants;
    if (first === undefined) return;
    if (first.device.owner !== undefined) this.#borrow(first.device, grants);
    else this.#open(first, grants);
  }

  deliver(): void {
    const [buffers, mappedOnRequest] = [this.#delivered, this.#mapped];
    this.#add({ made: { call: "deliver", buffers, mappedOnRequest } });
  }

  #add(...steps: readonly PlanStep[]): void {
    this.steps.push(...steps);
  }

  // ── a device of Bargate's own ───────────────────────────────────────────────────────────────────

  #open(first: PlannedGrant, grants: readonly PlannedGrant[]): void {
    const { device: target } = first;
    const iommufd = this.#sharedIommufd(target);
    const device = target.route === "cdev"
      ? this.#openBound(target, iommufd)
      : this.#openByGroup(first, iommufd);
    this.#identify(device, target);
    const ioas = this.#allocate(iommufd, target.route === "group");
    for (const interrupt of ["request", "error"] as const) {
      this.#add({ made: { call: "armInterrupt", on: device, interrupt } });
    }
    this.#add(...memorySteps(device, target));
    for (const grant of grants) {
      this.#add({
        made: { call: "probeDmaBuf", on: device },
        expect: { state: "present" },
      });
      const dmaBuf = this.#export(device, grant);
      this.#probe({ device, iommufd, ioas }, dmaBuf, grant);
    }
  }

  /** Who has none goes on without by the group route, and asks again for each device. */
  #sharedIommufd({ route }: DeviceTarget): FdName {
    const open = () =>
      ({ call: "openIommufd", node: IOMMU_NODE, gives: this.#shared ?? "" }) as const;
    if (this.#shared !== undefined) {
      if (route === "group") this.#add({ made: open(), only: "without-iommufd" });
      return this.#shared;
    }
    this.#shared = this.#nextIommufd();
    this.#add({ made: open() });
    return this.#shared;
  }

  #nextIommufd(): FdName {
    return `iommufd ${++this.#iommufds}`;
  }

  #openBound({ node }: DeviceTarget, iommufd: FdName): FdName {
    this.#add(
      { made: { call: "openNode", node, gives: node } },
      { made: { call: "bindIommufd", on: node, iommufd } },
    );
    return node;
  }

  #openByGroup({ device, iommuGroup }: PlannedGrant, iommufd: FdName): FdName {
    const { address, node } = device;
    const key = iommuGroup === undefined ? address : `${iommuGroup}`;
    if (!this.#groups.has(key)) {
      this.#groups.set(key, node);
      this.#openGroup(node, iommufd);
    }
    this.#add({ made: { call: "groupDevice", on: node, address, gives: address } });
    return address;
  }

  #openGroup(node: FdName, iommufd: FdName): void {
    const container = CONTAINER_NODE;
    const only = "without-iommufd";
    this.#add(
      { made: { call: "openShared", node, gives: node } },
      { made: { call: "setContainer", on: node, container: iommufd }, only: "with-iommufd" },
      { made: { call: "openShared", node: container, gives: container }, only },
      { made: { call: "setContainer", on: node, container }, only },
      { made: { call: "setType1Iommu", on: container }, only },
    );
  }

  #identify(device: FdName, target: DeviceTarget): void {
    const { address, id, subsystem, class: classCode, protectedRanges } = target;
    this.#add({ made: { call: "deviceAddress", on: device }, expect: { address } }, {
      made: {
        call: "readRegion",
        on: device,
        region: CONFIG_REGION,
        offset: 0n,
        length: CONFIG_BYTES,
      },
      expect: { id, subsystem, class: classCode, protected: protectedRanges },
    });
    this.#identifyBySerial(device, target);
    this.#measure(device, target);
  }

  /** The number stands in extended configuration space, and only what has that has one. */
  #identifyBySerial(device: FdName, { serial }: DeviceTarget): void {
    if (serial === undefined) return;
    const on = { on: device, region: CONFIG_REGION };
    this.#add({ made: { call: "regionInfo", ...on } }, {
      made: { call: "readRegion", ...on, offset: 0n, length: EXTENDED_CONFIG_BYTES },
      expect: { serial },
    });
  }

  #measure(device: FdName, { barSizes }: DeviceTarget): void {
    for (const [region, size] of barSizes) {
      this.#add({ made: { call: "regionInfo", on: device, region }, expect: { size } });
    }
  }

  #allocate(iommufd: FdName, optional: boolean): string {
    const gives = `ioas ${++this.#spaces}`;
    const made = { call: "ioasAlloc", on: iommufd, gives } as const;
    this.#add({ made, ...(optional ? { only: "with-iommufd" } : {}) });
    return gives;
  }

  // ── a device of somebody else ───────────────────────────────────────────────────────────────────

  #borrow(target: DeviceTarget, grants: readonly PlannedGrant[]): void {
    const { address, owner } = target;
    const iommufd = this.#nextIommufd();
    this.#add({ made: { call: "openIommufd", node: IOMMU_NODE, gives: iommufd } });
    const ioas = this.#allocate(iommufd, false);
    const copy = `copy of ${address}`;
    const by = owner?.socket === undefined ? "pidfd_getfd" : owner.socket.value;
    for (const grant of grants) {
      this.#add(
        { made: { call: "borrow", address, by, gives: copy } },
        { made: { call: "fileTarget", on: copy }, expect: { is: "a VFIO device" } },
        { made: { call: "deviceAddress", on: copy }, expect: { address } },
      );
      this.#measure(copy, target);
      const dmaBuf = this.#export(copy, grant);
      this.#add({ made: { call: "close", on: copy } });
      this.#check(dmaBuf, grant);
      this.#map({ device: copy, iommufd, ioas }, dmaBuf, grant, false);
    }
  }

  // ── buffers ─────────────────────────────────────────────────────────────────────────────────────

  #export(device: FdName, grant: PlannedGrant): FdName {
    const gives = `dma-buf ${++this.#buffers}`;
    const { bar: region, ranges, importer } = grant;
    this.#add({ made: { call: "exportDmaBuf", on: device, region, ranges, gives } });
    const list = importer.mapping === "importer" ? this.#delivered : this.#mapped;
    list.push({ name: bufferName(grant.export), dmaBuf: gives });
    return gives;
  }

  /** Where nobody can probe, the memory bit decides; a virtual function has none. */
  #probe(open: OpenDevice, dmaBuf: FdName, grant: PlannedGrant): void {
    const { route, physfn } = grant.device;
    this.#check(dmaBuf, grant);
    this.#map(open, dmaBuf, grant, route === "group");
    if (route !== "group" || physfn !== undefined) return;
    this.#add({
      made: {
        call: "readRegion",
        on: open.device,
        region: CONFIG_REGION,
        offset: BigInt(PCI_COMMAND),
        length: 2,
      },
      only: "without-iommufd",
      expect: { memoryDecode: true },
    });
  }

  #check(dmaBuf: FdName, { ranges }: PlannedGrant): void {
    const expect = { size: sizeOf(ranges), exporter: BUFFER_EXPORTER, closeOnExec: true };
    this.#add({ made: { call: "dmaBufFacts", on: dmaBuf }, expect });
  }

  /** A buffer of several ranges is refused by iommufd after it has seen that it is not revoked. */
  #map(open: OpenDevice, dmaBuf: FdName, { ranges }: PlannedGrant, optional: boolean): void {
    const { iommufd: on, ioas } = open;
    const length = sizeOf(ranges);
    const condition = optional ? { only: "with-iommufd" } as const : {};
    const several = ranges.length > 1;
    const expect: Expectation = several ? { live: true, refused: "EOPNOTSUPP" } : { live: true };
    this.#add(
      { made: { call: "dmaBufFacts", on: dmaBuf }, ...condition },
      {
        made: { call: "ioasMapFile", on, ioas, dmaBuf, start: 0n, length, writeable: true },
        ...condition,
        expect,
      },
    );
    if (!several) this.#add({ made: { call: "ioasUnmap", on, ioas, length }, ...condition });
  }
}

function sizeOf(ranges: PlannedGrant["ranges"]): bigint {
  return ranges.reduce((sum, { length }) => sum + length, 0n);
}
