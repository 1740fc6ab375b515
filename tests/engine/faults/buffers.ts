/**
 * Every buffer that a run makes, and the grant that it was made for: exported from the planned device,
 * with the planned ranges, and without a protected page (invariants 1 and 2).
 *
 * @module
 */
import type { DmaRange } from "../../../engine/kernel.ts";
import type { PlannedGrant } from "../../../engine/plan.ts";
import { SimDmaBuf, type SimVfioDevice } from "../../../sim/vfio.ts";
import type { Scene } from "../support.ts";
import { protectedPages } from "./msix.ts";

/** A buffer, and whose it is. */
export interface Made {
  readonly buffer: SimDmaBuf;
  readonly device: SimVfioDevice;
  readonly grant: string;
  readonly plan: PlannedGrant;
}

/** Takes what does not hold. */
export type Violated = (what: string) => void;

/** All buffers of a run. */
export class Buffers {
  readonly all: SimDmaBuf[] = [];
  readonly #made = new Map<SimDmaBuf, Made>();

  constructor(private readonly scene: Scene, private readonly violated: Violated) {
    for (const device of scene.kernel.devices.values()) this.watch(device);
  }

  /** Takes note of what is exported from a device. */
  watch(device: SimVfioDevice): void {
    device.onExport = (buffer) => {
      this.all.push(buffer);
      const { grant, plan } = this.#beingMade(device) ?? {};
      if (grant === undefined || plan === undefined) {
        return this.violated("a buffer is made for no grant");
      }
      this.#made.set(buffer, { buffer, device, grant, plan });
      this.#checkExport(plan, device, barOf(buffer), buffer.ranges);
    };
  }

  /** Whose it is. */
  of(buffer: SimDmaBuf): Made | undefined {
    return this.#made.get(buffer);
  }

  /** Those that were made for grants. */
  get made(): readonly Made[] {
    return [...this.#made.values()];
  }

  /** Of a device one is made at a time: for the grant that was planned and has not become anything yet. */
  #beingMade(device: SimVfioDevice): { grant: string; plan: PlannedGrant } | undefined {
    const { events, plan } = this.scene;
    const last = events.findLast(({ type, grant, device: address }) =>
      type === "planned" && address === device.fn.address &&
      !events.some((event) => event.grant === grant && event.type !== "planned")
    );
    if (last?.grant === undefined) return undefined;
    const planned = plan.grants.find((each) => each.export === last.export);
    return planned && { grant: last.grant, plan: planned };
  }

  #checkExport(
    { bar, ranges: planned, device: { address, id, barSizes }, rule }: PlannedGrant,
    device: SimVfioDevice,
    region: number,
    ranges: readonly DmaRange[],
  ): void {
    const config = device.configSpace;
    const word = (at: number) =>
      ((config[at] ?? 0) | (config[at + 1] ?? 0) << 8).toString(16).padStart(4, "0");
    const found = `${word(0)}:${word(2)}`;
    if (device.fn.address !== address || found !== id) {
      this.violated(
        `a buffer is made of ${found} at ${device.fn.address}, not of the planned device`,
      );
    }
    if (device.fn.bars.get(bar) !== barSizes.get(bar)) {
      this.violated("a buffer is made of a BAR that has another size than the planned one");
    }
    if (region !== bar || textOf(ranges) !== textOf(planned)) {
      this.violated(`a buffer has ${textOf(ranges)} of BAR ${region}: another range than planned`);
    }
    const touched = protectedPages(config).filter((page) =>
      page.bar === region &&
      ranges.some(({ offset, length }) =>
        offset < page.offset + page.length && page.offset < offset + length
      )
    );
    if (touched.length > rule.allowProtected.length) this.violated("a buffer has a protected page");
  }
}

/** Ranges as text, to compare them. */
export function textOf(ranges: readonly DmaRange[]): string {
  return ranges.map(({ offset, length }) => `0x${offset.toString(16)}+0x${length.toString(16)}`)
    .join(",");
}

/** The BAR that a buffer is of, by what it says of itself to people. */
function barOf({ source }: SimDmaBuf): number {
  return Number(/^BAR (\d+) of/.exec(source)?.[1]);
}
