/**
 * The doorbells of an NVMe controller. They start at 0x1000 of the memory that BAR 0 shows, queue 0's
 * (the admin queue) first; each queue has two, of four bytes and more by the controller's stride
 * (NVM Express PCIe Transport Specification 1.0, 3.1.2; CAP.DSTRD of the Base Specification 2.0,
 * 3.1.4.1). What follows the last one is the vendor's own, and how many queues there are stands in no
 * register: so the region is the one page that nobody can do without. It holds the doorbells of 512
 * queue pairs at the stride of nearly all hardware; who needs more writes slices.
 *
 * @module
 */
import type { SliceRule } from "./model.ts";

/** BAR of the doorbells. */
export const DOORBELLS_BAR = 0;

/** Bytes of the doorbells. Below are the controller's registers. */
export const DOORBELLS = { offset: 0x1000n, length: 0x1000n } as const satisfies Omit<
  SliceRule,
  "at"
>;

/** Class and subclass of a controller of non-volatile memory. */
const CONTROLLER_CLASS = "0108";

/** Whether a match says that its device is such a controller, whatever else it is. */
export function saysController(classes: readonly string[] = []): boolean {
  return classes.length > 0 && classes.every((each) => each.startsWith(CONTROLLER_CLASS));
}

/** Whether a slice of BAR 0 holds registers, or doorbells of the region. */
export function isControl({ offset }: Pick<SliceRule, "offset">): boolean {
  return offset < DOORBELLS.offset + DOORBELLS.length;
}
